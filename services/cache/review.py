"""What people ask about answers that were given: why, how many, for how much; and what they say of them."""

from typing import Any

from kit.errors import AnswerNotFound
from kit.log import get_logger
from services.cache import metrics
from services.cache.generations import Generations, key_tag
from services.cache.journal import WRONG, Journal, JournalWriter
from services.cache.tiers import Tiers

log = get_logger()


class Review:
    """Looks at answers again.

    Args:
        journal: Has them.
        writer: Has those of the last moment.
        generations: Takes wrong ones from all replicas.
        tiers: Holds their bytes.
    """

    def __init__(self, journal: Journal, writer: JournalWriter, generations: Generations, tiers: Tiers) -> None:
        self._journal = journal
        self._writer = writer
        self._generations = generations
        self._tiers = tiers

    async def explain(self, tenant_id: str, answer_id: str) -> dict[str, Any]:
        """Return what is known of an answer, as `Journal.explain` does.

        Raises:
            AnswerNotFound: It was not given to this tenant, or too long ago.
            StoreUnavailable: Nobody knows.
        """
        await self._writer.write()
        found = await self._journal.explain(tenant_id, answer_id)
        if found is None:
            raise _not_found(answer_id)
        return found

    async def judge(self, tenant_id: str, answer_id: str, verdict: str, *, by: str) -> bool:
        """Take a person's word, and say whether it was news; a wrong answer is given no more.

        Raises:
            AnswerNotFound: It was not given to this tenant, or too long ago.
            StoreUnavailable: It may still be given by some replicas.
        """
        await self._writer.write()
        judged = await self._journal.judge(tenant_id, answer_id, verdict, by)
        if judged is None:
            raise _not_found(answer_id)
        # Also when it is no news: the first time may have ended before this.
        if verdict == WRONG:
            await self._generations.invalidate([key_tag(judged.key_id)])
            await self._tiers.remove(judged.key_id)
        if judged.changed:
            metrics.FEEDBACK.labels(verdict).inc()
        log.info(
            "answer.judged", answer_id=answer_id, key_id=judged.key_id, outcome=verdict, replayed=not judged.changed
        )
        return judged.changed


def _not_found(answer_id: str) -> AnswerNotFound:
    return AnswerNotFound(f"no answer {answer_id} is known of this tenant", answer_id=answer_id)
