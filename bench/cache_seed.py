"""Examines the seed: what a student answers that has read nothing but the labels that ship, and how much of it is wrong.

    python -m bench.cache_seed [--tiers light minilm] [--write]

First on ways to say something that it has not read, five folds by way: that draws its line. Then, from above the line, on
texts that the seed was not written from: the turns of bench/conversations with what they say by the prompts' rules
(bench/analyses), and turns of other people's property dialogues where they say what one of our slots holds or nothing for
any (`of_the_dialogues`). `--write` replaces this bench's part of bench/RESULTS.md.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.cache_replay import Remembering, share, wrong_share
from bench.homes import DATA, FILES
from bench.measure import machine
from bench.walk import write
from kit.spans import REF, mask
from migrations.prompts import read_prompt_files
from services.cache import student_seeds
from services.cache.canonical import State
from services.cache.prompts import Prompt, make_prompt
from services.cache.student_label import label_of
from services.cache.student_model import FOLDS, Encode, Example, Learned, fold_of, learn
from services.cache.student_taught import TARGET

SECTION: Final = "Cache seed"
ANALYSES: Final = Path(__file__).parent / "analyses"
BOTS: Final = ("lead", "buyer", "seller")
LANGUAGES: Final = {"en": "English", "es": "Spanish"}
NO_LABEL: Final = ""
"""What a text says that no label can say, such as a reason in somebody's own words: whoever answers it is wrong."""
ONE_OFFS: Final = {
    ("seller.extract", "condition"): (
        "it's in great condition, no work needed. we are relocating for a job and hope to get 850k"
    ),
    ("seller.extract", "motivation"): "because we are downsizing, hoping for 900k",
}
ARTICLE: Final = {
    "I want to buy a house": "buy",
    "looking to purchase property": "buy",
    "I want to sell my house": "sell",
}


@dataclass
class Count:
    """Texts, those of them that were answered, and those of these that were answered wrongly."""

    texts: int = 0
    answered: int = 0
    wrong: int = 0

    def add(self, *, answered: bool, right: bool) -> None:
        """Count a text."""
        self.texts += 1
        self.answered += answered
        self.wrong += answered and not right

    def __add__(self, other: "Count") -> "Count":
        return Count(self.texts + other.texts, self.answered + other.answered, self.wrong + other.wrong)

    def __str__(self) -> str:
        return f"{self.texts:,} | {share(self.answered, self.texts)} | {wrong_share(self.wrong, self.answered)}"


def prompts() -> dict[str, Prompt]:
    """Return the prompts of the files, by name."""
    return {each.name: make_prompt(1, each.body) for each in read_prompt_files(Path(__file__).parents[1])}


def by_folds(prompt: Prompt, encode: Encode | None) -> dict[str, Count]:
    """Learn from the ways of all folds but one, line and all, and ask those of that one; by language."""
    examples = student_seeds.seeds(prompt)
    language_of = _languages(prompt)
    found = {language: Count() for language in LANGUAGES}
    for fold in range(FOLDS):
        learned = learn([each for each in examples if fold_of(each.group) != fold], target=TARGET, encode=encode)
        assert learned is not None
        held_out = [each for each in examples if fold_of(each.group) == fold and each.weight]
        for example, said in ask(learned, held_out, encode):
            found[language_of[example.masked]].add(answered=said is not None, right=said == example.label)
    return found


def _languages(prompt: Prompt) -> dict[str, str]:
    return {
        each.masked: path.name.split(".")[-2]
        for path in student_seeds.FOLDER.glob(f"{prompt.name}.*.txt")
        for each in student_seeds.read(path.read_text(encoding="utf-8"), prompt.schema or {})
    }


def of_the_conversations(prompt: Prompt) -> list[Example]:
    """Return the turns of bench/conversations that this prompt reads."""
    text = (ANALYSES / f"{prompt.name}.txt").read_text(encoding="utf-8")
    turns = student_seeds.read(text, prompt.schema or {})
    known = {"intent": "sell"}
    return turns + [
        Example(state=State(asked=asked, known=known), masked=mask([said]).text, label=NO_LABEL, group=said)
        for (name, asked), said in ONE_OFFS.items()
        if name == prompt.name
    ]


def of_the_dialogues(prompt: Prompt, folder: Path = DATA) -> list[Example]:
    """Return turns of property dialogues, as if our buyer bot had been told them.

    Those that answer our question for the area or the bedrooms, and those that say
    nothing for any slot: thanks, a yes, a choice among homes, a question about one, a
    day for a visit. What they open with is left out: they look for homes to rent.
    """
    found = []
    for name in FILES:
        for line in (folder / name).read_text(encoding="utf-8").splitlines():
            for text, state, slots in _told(json.loads(line)["turns"]):
                masked = mask([text]).text
                found.append(Example(state=state, masked=masked, label=_label(prompt, masked, slots), group=text))
    return found


_QUIET: Final = frozenset(
    "THANK_YOU SELECT AFFIRM REQUEST REQUEST_ALTS GOODBYE NEGATE NEGATE_INTENT AFFIRM_INTENT".split()
)
_SLOTS: Final = {"area": ("area", "PLACE_1"), "number_of_beds": ("bedrooms_min", "COUNT_1")}


def _told(turns: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, State, frozenset[str]]]:
    asked = ""
    for said in turns:
        frame = said.get("homes")
        if said["speaker"] == "SYSTEM":
            wanted = [each["slot"] for each in frame["actions"] if each["act"] == "REQUEST"] if frame else []
            asked = next((_SLOTS[each][0] for each in wanted if each in _SLOTS), "")
            continue
        acts = {each["act"] for each in frame["actions"]} if frame else {"?"}
        slots = (
            frozenset(each["slot"] for each in frame["actions"] if each["act"] == "INFORM") if frame else frozenset()
        )
        answers = bool(asked) and acts == {"INFORM"} and slots <= set(_SLOTS)
        if answers or (not asked and acts <= _QUIET | {"INFORM"} and slots <= {"visit_date"}):
            yield said["utterance"], State(asked=asked, known={"intent": "buy"}), slots & set(_SLOTS)


def _label(prompt: Prompt, masked: str, slots: frozenset[str]) -> str:
    """Return the label of what fills these slots; none when the masker left other values than theirs in the text."""
    schema = prompt.schema or {}
    analysis: dict[str, Any] = dict.fromkeys(schema["properties"])
    refs = set(REF.findall(masked))
    for name in slots:
        slot, ref = _SLOTS[name]
        analysis[slot] = {"value": ref, "words": "", "confidence": 0.9}
        if ref not in refs:
            return NO_LABEL
    return label_of(analysis, schema) or NO_LABEL


def ask(learned: Learned, turns: Sequence[Example], encode: Encode | None) -> Iterator[tuple[Example, str | None]]:
    """Return what a student answers to turns; None where it keeps quiet."""
    vectors = None if encode is None else encode([each.masked for each in turns])
    for number, turn in enumerate(turns):
        answer = learned.answer(turn.state, turn.masked, None if vectors is None else vectors[number])
        yield turn, None if answer is None else answer.label


def count(learned: Learned, turns: Sequence[Example], encode: Encode | None) -> Count:
    """Count what a student answers to turns, and what of it says something else than they do."""
    found = Count()
    for turn, said in ask(learned, turns, encode):
        found.add(answered=said is not None, right=said == turn.label)
    return found


def of_the_article(prompt: Prompt) -> list[Example]:
    """Return the article's sentences as a first text to the lead bot."""
    return [
        Example(state=State(), masked=mask([said]).text, label=_of_intent(prompt, meant), group=said)
        for said, meant in ARTICLE.items()
    ]


def _of_intent(prompt: Prompt, meant: str) -> str:
    schema = prompt.schema or {}
    analysis: dict[str, Any] = dict.fromkeys(schema["properties"])
    analysis["intent"] = {"value": meant, "words": "", "confidence": 0.9}
    return label_of(analysis, schema) or NO_LABEL


def run(tiers: Sequence[str], bots: Sequence[str] = BOTS, folder: Path = DATA) -> str:
    """Examine everything, and return the report."""
    read = prompts()
    encoder = Remembering() if "minilm" in tiers else None
    by_way, elsewhere = [], []
    for tier in tiers:
        encode = encoder if tier == "minilm" else None
        together = Count()
        for bot in bots:
            prompt = read[f"{bot}.extract"]
            for language, counted in by_folds(prompt, encode).items():
                by_way.append(f"| {tier} | {bot} | {LANGUAGES[language]} | {counted} |")
                together += counted
            examples = student_seeds.seeds(prompt)
            learned = learn(examples, target=TARGET, encode=encode)
            assert learned is not None
            known = {each.masked for each in examples}
            of = {"our conversations": of_the_conversations(prompt)}
            if bot == "lead":
                of["the article's sentences"] = of_the_article(prompt)
            if bot == "buyer" and folder.is_dir():
                of["property dialogues"] = of_the_dialogues(prompt, folder)
            for name, turns in of.items():
                strangers = [each for each in turns if each.masked not in known]
                elsewhere.append(
                    f"| {tier} | {bot} | {name} | {count(learned, turns, encode)} | {count(learned, strangers, encode)} |"
                )
        by_way.append(f"| {tier} | all | both | {together} |")
    return "\n".join(_report(read, bots, by_way, elsewhere))


def _report(
    read: Mapping[str, Prompt], bots: Sequence[str], by_way: Sequence[str], elsewhere: Sequence[str]
) -> list[str]:
    ways = {bot: len({each.masked for each in student_seeds.seeds(read[f"{bot}.extract"])}) for bot in bots}
    return [
        f"`make bench-cache-seed`, {machine()}. What a student answers that has read nothing but the labels that ship: "
        + ", ".join(f"{many:,} ways to write to the {bot} bot" for bot, many in ways.items())
        + ". An answer is wrong that differs from the label in anything, hedges included. In brackets the 95 % interval "
        "(Clopper-Pearson).",
        "",
        "Ways that it had not read, five folds by way, the line drawn without the fold that is asked:",
        "",
        "| tier | bot | language | ways | answered | wrong of answered |",
        "|---|---|---|---|---|---|",
        *by_way,
        "",
        "Texts that the seed was not written from. Our conversations are the turns of bench/conversations, with labels by "
        "the prompts' rules (bench/analyses). Of property dialogues (SGD, Homes) those turns count that answer where, or "
        "how many bedrooms, or say nothing for any slot; their openings ask for homes to rent and are left out. The kinds "
        "of these turns were known when the seed was finished, and mistakes on them were looked at: they are no blind test. "
        "On the right only those whose masked text stands nowhere in the seed.",
        "",
        "| tier | bot | texts | turns | answered | wrong of answered | new to it | answered | wrong of answered |",
        "|---|---|---|---|---|---|---|---|---|",
        *elsewhere,
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run, print, perhaps write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiers", nargs="+", choices=["light", "minilm"], default=["light", "minilm"])
    parser.add_argument("--bots", nargs="+", choices=BOTS, default=list(BOTS))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    report = run(options.tiers, options.bots)
    print(report)
    if options.write:
        write(SECTION, report)


if __name__ == "__main__":
    main()
