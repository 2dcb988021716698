"""Valid Results with synthetic numbers, for tests only: no model was ever measured to give them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from groundbench.api.surprisal_table import SurprisalTable
from groundbench.measures.causal.curve import areas, heads_for_half
from groundbench.measures.gain.measure import gain_items, noun_means
from groundbench.results.causal import (
    Agreement,
    CausalRecord,
    CurveRecord,
    HeadIdentity,
    HeadPlace,
    HeadScore,
    InterchangeRecord,
    Interval,
    KnockoutRecord,
    MatrixCell,
    PairRecord,
    Ranking,
)
from groundbench.results.causal import CurvePoint as CurvePointRecord
from groundbench.results.items import write_items
from groundbench.results.run import (
    AblationRecord,
    CategoryGain,
    CooccurrenceRecord,
    CopyCorrected,
    EnvironmentRecord,
    FormRecord,
    GainRecord,
    HeadCount,
    HeadsRecord,
    LensLayer,
    LensRecord,
    MixerRecord,
    ModelRecord,
    NounGain,
    Regression,
    Result,
    Stability,
    TestbedRecord,
)
from groundbench.results.trajectory import CurvePoint, Trajectory, TrajectoryPoint
from groundbench.stats.clustered import clustered_test

CATEGORIES = ("animals", "food_drink", "toys", "body_parts", "furniture_rooms", "vehicles", "clothing", "household")
_WORDS = """
airplane animal apple arm ball banana basket bear bed bench bird blanket block book bottle bowl box bread
brush bucket bunny bus button camera car cat chair cheese clock coffee comb cookie couch cow cracker cup dog
doll door drawer duck ear egg elephant eye face farm finger food foot game garage giraffe glass hair hammer
hand hat head horse juice kitchen knee ladder leg light milk money monkey mouth napkin necklace paper pencil
image pig plate puzzle purse refrigerator room sheep shirt shoe shoulder sofa spoon star stick stove table
tape telephone towel toy train tray truck turtle window
"""
NOUNS = _WORDS.split()
FRAMES = 10
HASH = "5ca1ab1e00000064"


def hash_of(n_nouns: int) -> str:
    """The hash of the pretended testbed of the first nouns: 100 of them make HASH."""
    return f"5ca1ab1e{n_nouns:08x}"


def fake_table(seed: int, gain: float = 4.0, n_nouns: int = 100, form: str = "token") -> SurprisalTable:
    """A full table of shared frames whose gain is about `gain` nats."""
    rng = np.random.default_rng(seed)
    frame, env, target = (i.ravel() for i in np.indices((FRAMES, n_nouns, n_nouns)))
    per_noun = (
        gain * np.exp(0.25 * rng.standard_normal(n_nouns)) if gain > 1 else gain + 0.1 * rng.standard_normal(n_nouns)
    )
    base = 6.2 + 0.5 * rng.standard_normal(n_nouns) + np.maximum(gain, 0) * 0.15
    s = base[target] + 0.15 * rng.standard_normal(len(frame)) - np.where(env == target, per_noun[target], 0)
    return SurprisalTable(
        form=form,
        frame_kind="shared",
        nouns=tuple(NOUNS[:n_nouns]),
        categories=tuple(CATEGORIES[i % len(CATEGORIES)] for i in range(n_nouns)),
        frames=tuple(f"f{i}" for i in range(FRAMES)),
        frame_nouns=np.full(FRAMES, -1),
        frame=frame,
        env=env,
        target=target,
        surprisal=np.maximum(s, 0.01),
    )


def fake_gain(table: SurprisalTable) -> GainRecord:
    """The gain record of a table: means as protocol §5 has them, interval by a small bootstrap over nouns."""
    s = table.dense()
    n = s.shape[1]
    matched = s.diagonal(axis1=1, axis2=2).mean(0)
    mismatched = (s.sum(1) - s.diagonal(axis1=1, axis2=2)).mean(0) / (n - 1)
    gains = mismatched - matched
    draws = gains[np.random.default_rng(0).integers(0, n, (500, n))].mean(1)
    items = gain_items(table)
    alike, test = noun_means(items.same_category), clustered_test(items.gain)
    near = float(np.nanmean(alike))
    nouns = tuple(
        NounGain(noun=w, category=c, gain=float(g), matched=float(a), mismatched=float(b))
        for w, c, g, a, b in zip(table.nouns, table.categories, gains, matched, mismatched, strict=True)
    )
    by = {c: [x.gain for x in nouns if x.category == c] for c in sorted(set(table.categories))}
    return GainRecord(
        mean=float(gains.mean()),
        ci_low=float(np.quantile(draws, 0.025)),
        ci_high=float(np.quantile(draws, 0.975)),
        ci_nouns_low=float(np.quantile(draws, 0.025)),
        ci_nouns_high=float(np.quantile(draws, 0.975)),
        matched=float(matched.mean()),
        mismatched=float(mismatched.mean()),
        p_cluster=test.p,
        p_signflip=0.0001 if gains.mean() > 1 else 0.58,
        same_category=None if np.isnan(near) else near,
        same_category_ci_low=None if np.isnan(near) else near - 1.96 * float(np.nanstd(alike)) / np.sqrt(n),
        same_category_ci_high=None if np.isnan(near) else near + 1.96 * float(np.nanstd(alike)) / np.sqrt(n),
        per_frame_sd=float(noun_means(items.gain.T).std(ddof=1)),
        probe_gap=0.0001,
        detectable=test.detectable,
        by_noun=nouns,
        by_category=tuple(CategoryGain(category=c, n_nouns=len(v), gain=float(np.mean(v))) for c, v in by.items()),
    )


def scaled(gain: GainRecord, share: float) -> GainRecord:
    """The record of a form that keeps this share of the gain: every gain shrinks, what was mismatched stays."""
    keys = (
        "mean",
        "ci_low",
        "ci_high",
        "ci_nouns_low",
        "ci_nouns_high",
        "same_category",
        "same_category_ci_low",
        "same_category_ci_high",
    )
    nouns = tuple(
        n.model_copy(update={"gain": n.gain * share, "matched": n.mismatched - n.gain * share}) for n in gain.by_noun
    )
    return gain.model_copy(
        update={k: getattr(gain, k) * share for k in keys if getattr(gain, k) is not None}
        | {"matched": gain.mismatched - gain.mean * share, "by_noun": nouns}
        | {"by_category": tuple(c.model_copy(update={"gain": c.gain * share}) for c in gain.by_category)}
    )


def fake_heads(seed: int, mixers: tuple[MixerRecord, ...], kind: str = "aggregate") -> HeadsRecord:
    """Detection rates of every head, a few of them high."""
    rng = np.random.default_rng(seed)
    pairs = [(m.layer, h) for m in mixers for h in range(m.n_heads)]
    rate = np.where(rng.random(len(pairs)) < 0.2, rng.uniform(0.5, 1, len(pairs)), rng.uniform(0, 0.12, len(pairs)))
    heads = tuple(
        HeadCount(
            layer=layer,
            head=head,
            rate=float(r),
            share=float(min(0.9, r * 0.6 + 0.03)),
            lift=float(1 + 6 * r),
            magnitude=float(0.02 * r),
            effect=float(r * rng.uniform(0.0, 0.4) - 0.02),
        )
        for (layer, head), r in zip(pairs, rate, strict=True)
    )
    count, layers = float(rate.sum()), np.array([p[0] for p in pairs])
    return HeadsRecord(
        kind=kind,
        denominator="row",
        threshold=0.3,
        selection="share",
        mean_count=count,
        ci_low=count * 0.93,
        ci_high=min(count * 1.06, len(pairs)),
        null_count=count * 0.12,
        untrained_count=count * 0.03,
        mean_layer=float((rate * layers).sum() / rate.sum()),
        mean_layer_ci_low=float((rate * layers).sum() / rate.sum()) - 0.1,
        mean_layer_ci_high=float((rate * layers).sum() / rate.sum()) + 0.1,
        n_items=1000,
        by_head=heads,
        stability=tuple(Stability(threshold=t, mean_count=count * (1.6 - 2 * t)) for t in (0.1, 0.2, 0.3, 0.4, 0.5)),
    )


def fake_ablation(seed: int, gain: GainRecord, n_heads: float, selection: str = "crossfit") -> AblationRecord:
    """Detected heads take most of the gain, control draws little of it."""
    rng = np.random.default_rng(seed)
    draws = tuple(float(gain.mean * x) for x in rng.uniform(0.82, 1.0, 20))
    surprisals = tuple(float(gain.matched + 0.3 * x) for x in rng.random(20))
    ablated = gain.mean * 0.1
    return AblationRecord(
        selection=selection,
        control="layer",
        mode="zero",
        positions="all",
        n_draws=20,
        n_heads=n_heads,
        original=gain.matched,
        ablated=gain.matched + gain.mean * 0.6,
        control_mean=float(np.mean(surprisals)),
        control_draws=surprisals,
        gain_original=gain.mean,
        gain_ablated=ablated,
        gain_control=float(np.mean(draws)),
        gain_control_draws=draws,
        gain_removed=1 - ablated / gain.mean,
        gain_removed_ci_low=0.87,
        gain_removed_ci_high=0.93,
        p_cluster=0.0004,
        p_rank=1 / 21,
        p_holm=0.0012,
    )


def fake_lens(gain: GainRecord, layers: int) -> tuple[LensRecord, ...]:
    """A gain that rises with depth."""
    out = []
    for kind, delay in (("tuned", 0.0), ("logit", 0.2)):
        rows = []
        for n in range(layers + 1):
            share = 1 / (1 + np.exp(-8 * (n / layers - 0.55 - delay))) if n < layers else 1.0
            matched = gain.mismatched - gain.mean * share
            rows.append(LensLayer(layer=n, matched=matched, mismatched=gain.mismatched, gain=gain.mean * share))
        out.append(LensRecord(kind=kind, layers=tuple(rows)))
    return tuple(out)


def fake_regressions(seed: int, n_nouns: int) -> tuple[Regression, ...]:
    """Every window, statistic and unit, each with an R² of its own."""
    cells = [
        (window, statistic, unit)
        for window in ("chunk", "utterances")
        for statistic in ("log-count", "pmi")
        for unit in ("noun", "pair")
    ]
    r2 = np.random.default_rng(seed).uniform(0.05, 0.5, len(cells))
    return tuple(
        Regression(
            window=window,
            statistic=statistic,
            unit=unit,
            r2_adjusted=float(r),
            ci_low=float(r) - 0.15,
            ci_high=float(r) + 0.2,
            n=n_nouns if unit == "noun" else n_nouns**2,
        )
        for (window, statistic, unit), r in zip(cells, r2, strict=True)
    )


def fake_result(
    seed: int = 0,
    *,
    gain: float = 4.0,
    layers: int = 4,
    heads: int = 4,
    n_nouns: int = 100,
    name: str = "",
    step: int | None = None,
) -> Result:
    """A complete, self-consistent result with synthetic numbers; `layers=0` gives a model without heads."""
    table = fake_table(seed, gain, n_nouns)
    record = fake_gain(table)
    mixers = tuple(MixerRecord(layer=n + 1, kind="attention", n_heads=heads, d_head=32) for n in range(layers))
    found = (
        tuple(fake_heads(seed + i, mixers, kind) for i, kind in enumerate(("aggregate", "gather"))) if layers else ()
    )
    grounded = layers > 0 and record.mean > 1
    forms = [("word", 1.0), ("gloss", 0.62), ("translation", 0.3), ("emoji", 0.05)]
    first = FormRecord(
        env_form="token",
        n_nouns=n_nouns,
        n_items=n_nouns * FRAMES,
        gain=record,
        heads=found,
        ablations=(fake_ablation(seed, record, 4), fake_ablation(seed + 9, record, 3.2, "instance"))
        if grounded
        else (),
        lens=fake_lens(record, layers) if grounded else (),
    )
    others = tuple(
        FormRecord(env_form=f, n_nouns=n_nouns, n_items=n_nouns * FRAMES, gain=scaled(record, x)) for f, x in forms
    )
    return Result(
        model=ModelRecord(
            name=name or f"synthetic-{seed}",
            family=("gpt2", "llama", "mamba2", "gpt_neox")[seed % 4] if layers else "lstm",
            architecture="GPT2LMHeadModel" if layers else "GroundLSTM",
            parameters=(1_300_000, 135_000_000, 1_400_000_000, 24_000_000)[seed % 4],
            dtype="float32",
            fingerprint=f"sha256:{seed:08x}",
            mixers=mixers,
            step=step,
            seed=42,
        ),
        testbed=TestbedRecord(
            name="childworld",
            version="1",
            hash=hash_of(n_nouns),
            frames="shared",
            env_form="token",
            n_nouns=n_nouns,
            n_items=n_nouns * FRAMES,
        ),
        forms=(first, *others) if grounded else (first,),
        copy_corrected=CopyCorrected(ratio=0.62, ci_low=0.55, ci_high=0.68, gain_gloss=2.48, gain_word=4.0)
        if grounded
        else None,
        cooccurrence=CooccurrenceRecord(
            regressions=fake_regressions(seed, n_nouns),
            gain_variance=0.8,
        )
        if grounded
        else None,
        protocol={"mismatches": "all", "mode": "sentence", "seed": 0},
        environment=EnvironmentRecord(
            versions={"python": "3.11", "torch": "2.13.0"}, device="cpu", seeds=(42,), seconds=81.5, git="abc123def456"
        ),
    )


def fake_trajectory(seed: int = 0, *, name: str = "gpt2-mini", final: float = 5.0, layers: int = 4) -> Trajectory:
    """Ten checkpoints whose gain rises along a sigmoid to `final` nats."""
    steps = (0, 100, 200, 400, 600, 800, 1000, 1300, 1600, 2000)
    points = []
    for step in steps:
        gain = final / (1 + np.exp(-(step - 700) / 130)) if abs(final) > 1 else final * step / 2000
        result = fake_result(seed + step, gain=float(gain), layers=layers, name=name, step=step, n_nouns=40)
        loss = 1.0 + 3.2 * float(np.exp(-step / 250))
        points.append(
            TrajectoryPoint(step=step, tokens=step * 1024, train_loss=loss, heldout_loss=loss + 0.05, result=result)
        )
    curve = tuple(CurvePoint(step=s, train_loss=1.0 + 3.2 * float(np.exp(-s / 250))) for s in range(0, 2001, 50))
    return Trajectory(name=name, points=tuple(points), curve=curve)


def write_run(folder: Path, seed: int = 0, gain: float = 4.0, **options: object) -> Result:
    """A run directory with result.json and the items.parquet it was reduced from."""
    result = fake_result(seed, gain=gain, **options)
    folder.mkdir(parents=True, exist_ok=True)
    result.save(folder / "result.json")
    table = fake_table(seed, gain, result.testbed.n_nouns)
    write_items(folder / "items.parquet", [table], result)
    return result


def fake_causal(form: str, *, recovered: float | None, others: tuple[str, ...] = ()) -> CausalRecord:
    """A record of the measure causal of a model of 30 layers of 9 heads, ten of which carry `recovered`."""
    layers, per_layer, k = 30, 9, 10
    rng = np.random.default_rng(0)
    scores = tuple(
        HeadScore(layer=a, head=b, share=0.2, contrast=c, contrast_ig=0.8 * c, exact=0.9 * c)
        for (a, b), c in zip(
            ((layers - i // per_layer, i % per_layer) for i in range(layers * per_layer)),
            [3.0 / (1 + i) for i in range(layers * per_layer)],
            strict=True,
        )
    )

    def share(value: float | None) -> Interval:
        return Interval() if value is None else Interval(value=value, ci_low=value - 0.05, ci_high=value + 0.05)

    def curve(ranking: Ranking, scale: float) -> CurveRecord:
        points = tuple(
            CurvePointRecord(k=n, f=min(1.0, scale * n / 14), ci_low=min(0.9, scale * n / 20), ci_high=1.0)
            for n in (1, 3, 14, 270)
        )
        sizes, f = np.array([p.k for p in points]), np.array([p.f for p in points])
        cpr, cmd = areas(sizes / (layers * per_layer), f)
        half = heads_for_half(sizes, f)
        return CurveRecord(ranking=ranking, points=points, cpr=cpr, cmd=cmd, heads_for_half=share(half))

    return CausalRecord(
        env_form=form,
        n_heads=layers * per_layer,
        pairs=PairRecord(n=80, n_nouns=40, n_frames=4, clean=2.0, corrupt=9.0, gain=share(7.0)),
        scores=scores,
        agreement=(Agreement(first="contrast", second="exact", rank_correlation=0.9),),
        interchange=(
            InterchangeRecord(
                ranking="contrast",
                k=k,
                headline=True,
                recovered=share(recovered),
                lost=share(recovered),
                n_draws=20,
                random_recovered=tuple(rng.normal(0.01, 0.001, 20).tolist()) if recovered is not None else (),
                p_rank=1 / 21 if recovered is not None else None,
                heads=tuple(HeadPlace(layer=s.layer, head=s.head) for s in scores[:k]),
            ),
        ),
        curves=(curve("contrast", 1.0), curve("share", 0.3), curve("random", 0.05)),
        matrix=tuple(
            MatrixCell(donor_form=o, k=k, n_pairs=80, recovered=share(0.5 + 0.1 * i)) for i, o in enumerate(others)
        ),
        knockout=(
            KnockoutRecord(step="direct", heads="headline", first_layer=22, last_layer=30, lost=share(0.6)),
            *(
                KnockoutRecord(step="direct", heads="all", first_layer=a, last_layer=a + 7, lost=share(a / 30))
                for a in (1, 9, 17, 23)
            ),
        ),
        identity=tuple(
            HeadIdentity(layer=s.layer, head=s.head, induction=0.1, previous=0.2, ov_copy=0.3) for s in scores
        ),
    )
