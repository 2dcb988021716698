"""A risk card as one self-contained HTML page, and as Markdown."""

from __future__ import annotations

from groundbench._version import __version__
from groundbench.report.elements import Facts
from groundbench.report.markdown import markdown
from groundbench.report.pages import environment, stylesheet
from groundbench.report.sections import about
from groundbench.report.sections.risk_card import card_facts, card_sections, card_stats
from groundbench.report.text.card_sentences import headline
from groundbench.results.risk_card import RiskCard


def render_card(card: RiskCard) -> str:
    """Render the page: the verdict, the evidence, the measurement. Every string of the card is escaped."""
    return (
        environment()
        .get_template("card.html.j2")
        .render(
            style=stylesheet(),
            version=__version__,
            title=card.model.name,
            about=f"risk card · {', '.join(card.questions.sets)}",
            sentence=headline(card),
            stats=card_stats(card),
            sections=card_sections(card),
            facts=_facts(card),
        )
    )


def render_card_markdown(card: RiskCard) -> str:
    """Return the same as Markdown, without figures."""
    title = f"Risk card of {card.model.name}"
    return markdown(title, headline(card), card_stats(card), card_sections(card), _facts(card))


def _facts(card: RiskCard) -> list[Facts]:
    return [
        about.model_facts(card.model),
        card_facts(card),
        about.protocol_facts(card.protocol),
        about.environment_facts(card.environment),
    ]
