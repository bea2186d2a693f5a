"""The student's mind: a logistic regression that knows how sure it is, and the line below which it keeps quiet.

Pure but for the time it takes to learn; scikit-learn is needed to learn and not to
answer, and is loaded then.
"""

import hashlib
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from kit.spans import REF
from services.cache.canonical import State
from services.cache.student_bounds import NEVER, at_most, threshold
from services.cache.student_features import state_features, text_features

Vectors = npt.NDArray[np.float32]
Encode = Callable[[Sequence[str]], Vectors]
"""Texts to vectors of length 1, one row each."""

FOLDS: Final = 5
LOOSER: Final = 5.0
"""So many times as many may be wrong where nobody else answers."""
SEEN_LEAST: Final = 3
"""In a state that was met more seldom the student keeps quiet."""
RARE: Final = 2
"""A word that fewer examples hold is left out; it would only be learned by heart."""
STRANGE_MOST: Final = 0.2
"""A larger share of unheard-of labels is odd, however few questions were left to Claude in the examination."""
STRENGTH: Final = 10.0
"""C of scikit-learn's logistic regression."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """A masked text that somebody has read."""

    state: State
    masked: str
    label: str
    """Empty: what it says, no label can say."""
    group: str
    """What must not stand on both sides when the student is examined: a dialogue, a family of seeds, a text."""
    weight: float = 1.0
    """For how many requests it stands: an audited hit for all those hits that were not. What stands for none is learned
    from and not examined."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What the student takes a text for."""

    label: str
    score: float


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """What is seen of an example, whatever it is compared with."""

    words: Counter[str]
    marks: tuple[str, ...]
    refs: frozenset[str]
    """The references in the text."""


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What was learned from examples."""

    labels: tuple[str, ...]
    threshold: float
    """The least score that is answered with; `NEVER` before an examination."""
    loose: float
    """The same where nobody else answers."""
    strange: float
    """The most of what it leaves to Claude that may turn out to be a label it has never heard of, as a share."""
    examples: int
    columns: Mapping[str, int] = field(repr=False)
    idf: Vectors = field(repr=False)
    weights: Vectors = field(repr=False)
    """A row each for the columns and then for the encoder's dimensions, a column for each label."""
    bias: Vectors = field(repr=False)
    states: frozenset[str] = field(repr=False)
    unsaid: frozenset[str] = field(repr=False)
    """Labels of texts with values that they do not name, and those values: see `_unsaid`."""

    @cached_property
    def _needs(self) -> tuple[frozenset[str] | None, ...]:
        """What each label names, and so a text must hold; None for what no label can say."""
        return tuple(frozenset(REF.findall(label)) if label else None for label in self.labels)

    def knows(self, state: State) -> bool:
        """Say whether every part of a state was met often enough."""
        return self.states.issuperset(_state(state))

    def score(self, state: State, masked: str, vector: Vectors | None = None) -> Scored:
        """Return the likeliest label that a text can have, and how likely it is.

        Args:
            state: Where the dialogue stands.
            masked: The text.
            vector: The encoder's; needed when there was one when this was learned.
        """
        return self._score(_see(state, masked), vector)

    def _score(self, seen: _Seen, vector: Vectors | None) -> Scored:
        at, values = _row(self.columns, self.idf, seen)
        logits = values @ self.weights[at] + self.bias
        if vector is not None:
            logits = logits + vector @ self.weights[len(self.columns) :]
        logits = np.exp(logits - logits.max())
        # What cannot be said of this text keeps its share: who would say it does not know what else to say.
        likely = np.where([refs is not None and refs <= seen.refs for refs in self._needs], logits, 0.0)
        best = int(likely.argmax())
        return Scored(label=self.labels[best], score=float(likely[best] / logits.sum()))

    def answer(self, state: State, masked: str, vector: Vectors | None = None, *, loose: bool = False) -> Scored | None:
        """Return the label of a text, or None when it is not sure enough or the state is new to it."""
        line = self.loose if loose else self.threshold
        if line >= NEVER or not self.knows(state):
            return None
        seen = _see(state, masked)
        found = self._score(seen, vector)
        return found if found.score >= line and self._met(seen, found) else None

    def _met(self, seen: _Seen, found: Scored) -> bool:
        """Say whether a text with values that the label does not name was ever met: three bedrooms are no matter of course."""
        unsaid = _unsaid(seen, found.label)
        return not unsaid or unsaid in self.unsaid


def learn(examples: Sequence[Example], *, target: float, encode: Encode | None = None) -> Learned | None:
    """Learn from examples, and find the line by examining copies that had not seen what they are asked.

    The same examples in the same order give the same.

    Args:
        examples: Any number.
        target: How many of the answers above the line may be wrong, as a share.
        encode: The encoder of the quality tier; None for the light tier.

    Returns:
        None when there is nothing to tell apart.
    """
    vectors = None if encode is None else encode([each.masked for each in examples])
    seen = [_see(each.state, each.masked) for each in examples]
    labels = [each.label for each in examples]
    whole = _fit(seen, labels, vectors)
    if whole is None:
        return None
    folds = [fold_of(each.group) for each in examples]
    scored: list[tuple[float, bool, float]] = []
    unheard: list[bool] = []
    for fold in range(FOLDS):
        mine = [n for n, own in enumerate(folds) if own == fold]
        others = [n for n, own in enumerate(folds) if own != fold]
        student = _fit(
            [seen[n] for n in others], [labels[n] for n in others], None if vectors is None else vectors[others]
        )
        for n in mine:
            each = examples[n]
            if student is None or not each.weight or not student.knows(each.state):
                continue  # it would keep quiet
            found = student._score(seen[n], None if vectors is None else vectors[n])
            if not student._met(seen[n], found):
                continue
            scored.append((found.score, found.label == each.label, each.weight))
            unheard.append(each.label not in student.labels)
    line = threshold(scored, target=target)
    left = [strange for (score, _, _), strange in zip(scored, unheard, strict=True) if score < line]
    loose = min(line, threshold(scored, target=min(0.5, LOOSER * target)))
    return replace(whole, threshold=line, loose=loose, strange=min(STRANGE_MOST, at_most(sum(left), len(left))))


def _fit(seen: Sequence[_Seen], labels: Sequence[str], vectors: Vectors | None) -> Learned | None:
    if len(set(labels)) < 2:
        return None
    from scipy.sparse import csr_matrix, hstack
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    columns, idf, states = _vocabulary(seen)
    rows = [_row(columns, idf, each) for each in seen]
    ends = np.cumsum([0, *(len(at) for at, _ in rows)])
    matrix: Any = csr_matrix(
        (np.concatenate([values for _, values in rows]), np.concatenate([at for at, _ in rows]), ends),
        shape=(len(rows), len(columns)),
    )
    if vectors is not None:
        matrix = hstack([matrix, csr_matrix(vectors)]).tocsr()
    model = LogisticRegression(C=STRENGTH, max_iter=300, tol=1e-3)
    # For vectors this short, threads wait for each other longer than they work.
    with warnings.catch_warnings(), threadpool_limits(1):
        # Stopped early is still a student; the line is drawn by what it gets right.
        warnings.simplefilter("ignore")
        model.fit(matrix, labels)
    weights, bias = model.coef_.T, model.intercept_
    if len(model.classes_) == 2:  # scikit-learn keeps one column then
        weights, bias = np.hstack([np.zeros_like(weights), weights]), np.array([0.0, bias[0]])
    return Learned(
        labels=tuple(map(str, model.classes_)),
        threshold=NEVER,
        loose=NEVER,
        strange=1.0,
        examples=len(seen),
        columns=columns,
        idf=idf,
        weights=np.ascontiguousarray(weights, dtype=np.float32),
        bias=np.asarray(bias, dtype=np.float32),
        states=states,
        unsaid=frozenset(filter(None, map(_unsaid, seen, labels))),
    )


def _vocabulary(seen: Sequence[_Seen]) -> tuple[dict[str, int], Vectors, frozenset[str]]:
    words: Counter[str] = Counter()
    states: Counter[str] = Counter()
    for each in seen:
        words.update(each.words.keys())
        states.update(each.marks)
    kept = sorted(word for word, count in words.items() if count >= RARE)
    names = [*kept, *sorted(states)]
    idf = [1.0 + np.log((1 + len(seen)) / (1 + words[word])) for word in kept] + [1.0] * len(states)
    met = frozenset(name for name, count in states.items() if count >= SEEN_LEAST)
    return {name: number for number, name in enumerate(names)}, np.array(idf, dtype=np.float32), met


def _row(columns: Mapping[str, int], idf: Vectors, seen: _Seen) -> tuple[npt.NDArray[np.intp], Vectors]:
    """Return the columns that are not 0 and their values: the text's make a vector of length 1, the state's are 1."""
    words = [(columns[word], count) for word, count in seen.words.items() if word in columns]
    marks = [columns[mark] for mark in seen.marks if mark in columns]
    at = np.array([*(n for n, _ in words), *marks], dtype=np.intp)
    values = np.ones(len(at), dtype=np.float32)
    if words:
        text = (1 + np.log([count for _, count in words])) * idf[at[: len(words)]]
        values[: len(words)] = text / np.linalg.norm(text)
    return at, values


def _see(state: State, masked: str) -> _Seen:
    return _Seen(words=text_features(state.asked, masked), marks=_state(state), refs=frozenset(REF.findall(masked)))


def _unsaid(seen: _Seen, label: str) -> str:
    """Name a label and the values of a text that it leaves out; empty when it leaves out none."""
    left = seen.refs.difference(REF.findall(label))
    return " ".join([*sorted(left), label]) if left else ""


def _state(state: State) -> tuple[str, ...]:
    return state_features(state.asked, state.known, state.opening)


def fold_of(group: str) -> int:
    """Return in which of the `FOLDS` a group stands: by its name, and so the same wherever it is asked for."""
    return hashlib.blake2b(group.encode(), digest_size=2).digest()[0] % FOLDS
