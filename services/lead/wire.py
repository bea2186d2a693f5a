"""Between LeadService's messages and values; checks every field."""

from typing import Final

from porchlight.lead.v1 import lead_service_pb2 as pb

from kit import checks
from kit.errors import InvalidField
from kit.facts_wire import FACTS_MOST, fact_from_proto
from kit.lane import Fact
from services.lead.qualification import STANDARD, Factor, Grade, Part, Qualification

_MESSAGES_MOST: Final = 1_000_000
_GRADES: Final = {
    Grade.HOT: pb.GRADE_HOT,
    Grade.WARM: pb.GRADE_WARM,
    Grade.NURTURE: pb.GRADE_NURTURE,
}
_PARTS: Final = {
    Part.FIT: pb.FACTOR_PART_FIT,
    Part.INTENT: pb.FACTOR_PART_INTENT,
    Part.READINESS: pb.FACTOR_PART_READINESS,
    Part.ENGAGEMENT: pb.FACTOR_PART_ENGAGEMENT,
    Part.MINUS: pb.FACTOR_PART_MINUS,
}


def facts(request: pb.ScoreContactRequest) -> tuple[Fact, ...]:
    """Read the facts to score.

    Raises:
        InvalidField: Too many, one over its limit, or a name that stands twice.
    """
    given = checks.count("facts", request.facts, most=FACTS_MOST)
    read = tuple(fact_from_proto(each, field=f"facts[{number}]") for number, each in enumerate(given))
    seen: set[str] = set()
    for number, fact in enumerate(read):
        if fact.name in seen:
            field = f"facts[{number}].name"
            raise InvalidField(f"{field} stands twice; each name once", field=field, limit="each name once")
        seen.add(fact.name)
    return read


def messages_count(request: pb.ScoreContactRequest) -> int:
    """Read how many texts were written."""
    return checks.integer("messages_count", request.messages_count, low=0, high=_MESSAGES_MOST)


def qualification(scored: Qualification) -> pb.Qualification:
    """Say a score on the wire."""
    return pb.Qualification(
        score=scored.score,
        grade=_GRADES[scored.grade],
        factors=[_factor(each) for each in scored.factors],
        hot_from=STANDARD.hot_from,
        warm_from=STANDARD.warm_from,
    )


def _factor(factor: Factor) -> pb.Factor:
    return pb.Factor(
        part=_PARTS[factor.part],
        name=factor.name,
        points=factor.points,
        explanation=factor.because,
        words=factor.words,
        message_id=factor.message_id,
    )
