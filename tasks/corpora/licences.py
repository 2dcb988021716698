"""Under which terms a source is given, and what those who use it cite."""

from __future__ import annotations

LICENCES = {
    "childes": "TalkBank ground rules, CC BY-NC-SA 3.0 (https://talkbank.org/share/rules.html); not for redistribution "
    "under other terms",
    "visdial": "Visual Dialog annotations, CC BY 4.0 (https://visualdialog.org); images are not included",
    "coco": "COCO annotations, CC BY 4.0 (https://cocodataset.org/#termsofuse); images are not included",
}
CITE = {
    "childes": (
        "MacWhinney, B. (2000). The CHILDES Project: Tools for Analyzing Talk (3rd ed.). Lawrence Erlbaum Associates.",
    ),
    "visdial": (
        "Das, A., Kottur, S., Gupta, K., Singh, A., Yadav, D., Moura, J. M. F., Parikh, D., & Batra, D. (2017). "
        "Visual Dialog. CVPR.",
        "Lin, T.-Y., et al. (2014). Microsoft COCO: Common Objects in Context. ECCV.",
    ),
    "coco": (
        "Lin, T.-Y., et al. (2014). Microsoft COCO: Common Objects in Context. ECCV.",
        "Chen, X., et al. (2015). Microsoft COCO Captions: Data Collection and Evaluation Server. arXiv:1504.00325.",
    ),
}


def citations(source: str, corpora: list[str]) -> tuple[str, ...]:
    """List what to cite; of CHILDES also each corpus, with its page at childes.talkbank.org."""
    own = [f"The CHILDES corpus {name}: the reference on its page at https://childes.talkbank.org" for name in corpora]
    return (*CITE[source], *(own if source == "childes" else ()))
