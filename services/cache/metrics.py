"""What the cache counts."""

from typing import Final

from prometheus_client import Gauge

from kit.metrics import counter

ANSWERS: Final = counter("cache_answers", "Answered Completes.", ("prompt", "tier"))
FAILURES: Final = counter("cache_failures", "Completes without an answer.", ("prompt", "reason"))
CALLS: Final = counter("cache_upstream_calls", "Requests to Claude.", ("model", "outcome"))
COST: Final = counter("cache_cost_microusd", "Spent on Claude, in millionths of a US dollar.", ("model",))
SAVED: Final = counter("cache_saved_microusd", "What answers from memory had cost.", ("tier",))
SHARED: Final = counter("cache_shared_calls", "Completes that waited for somebody else's call.")
CORRUPTED: Final = counter("cache_corrupted_entries", "Entries that were not what their key says.", ("tier",))
TIER_FAILURES: Final = counter("cache_redis_failures", "Requests to Redis that failed.")
BREAKER: Final = Gauge("cache_redis_breaker", "0 closed, 1 trying again, 2 open.", namespace="porchlight")
UNRECORDED: Final = Gauge("cache_unrecorded_calls", "Calls the ledger does not have yet.", namespace="porchlight")
TRUSTED: Final = Gauge("cache_trusted", "1 while it is known what was invalidated.", namespace="porchlight")
REFUSED: Final = counter("cache_refused_analyses", "Analyses that did not come from their text.", ("source", "defect"))
AUDITS: Final = counter("cache_audits", "Guesses that were compared with what Claude says.", ("prompt", "outcome"))
LABELS_LOST: Final = counter("cache_lost_labels", "Labels that could not be kept.")
ANSWERS_LOST: Final = counter("cache_lost_answers", "Answers that the journal could not keep.")
FEEDBACK: Final = counter("cache_feedback", "What people said of answers.", ("verdict",))
LIMITED: Final = counter("cache_limited_calls", "Calls that a limit per minute kept from Claude.", ("model", "limit"))
WAITING: Final = Gauge("cache_waiting_calls", "Calls that wait for a place next to Claude.", namespace="porchlight")
MODEL_BREAKER: Final = Gauge(
    "cache_model_breaker", "0 closed, 1 trying again, 2 open.", ("model",), namespace="porchlight"
)
STUDENT_STOPPED: Final = counter("cache_student_stopped", "Students that had to keep quiet.", ("prompt_version",))
STUDENT_THRESHOLD: Final = Gauge(
    "cache_student_threshold",
    "The least score that is served; 2 when nothing is.",
    ("tenant_id", "prompt_version"),
    namespace="porchlight",
)
