import json

from hypothesis import assume, given
from hypothesis import strategies as st

from services.cache.canonical import Key, key, schema_hash

REQUEST = {
    "tenant_id": "loc_1",
    "contact_id": "c_81",
    "prompt": "lead.extract",
    "version": 3,
    "model": "claude-haiku-5-5",
    "parameters": {"max_tokens": 400, "effort": "low"},
    "schema_hash": "abc",
    "variables": {"messages": "I need to sell", "facts": ""},
}
OTHERS = {
    "tenant_id": "loc_2",
    "contact_id": "c_82",
    "prompt": "lead.extract2",
    "version": 4,
    "model": "claude-sonnet-5-5",
    "parameters": {"max_tokens": 401, "effort": "low"},
    "schema_hash": "",
    "variables": {"messages": "I need to sell", "facts": " "},
}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = st.text("abc_", min_size=1, max_size=5)


def a_key(**changed: object) -> Key:
    return key(**{**REQUEST, **changed})  # type: ignore[arg-type]


def test_key_is_the_same_in_every_process_and_release():
    # A change here orphans every stored answer: count SCHEMA_VERSION up and say so in the changelog.
    assert a_key() == Key(key_id="639125691a0fa8bbb7194cc7bc35cd92", scope_id="6d790d0703aee48578fe1ef8a1dafc28")


def test_each_field_alone_makes_another_key():
    keys = {a_key().key_id} | {a_key(**{field: value}).key_id for field, value in OTHERS.items()}
    assert len(keys) == 1 + len(OTHERS)


def test_scope_is_the_tenant_or_the_contact_and_never_one_for_the_other():
    scopes = [
        a_key(),
        a_key(contact_id="c_82"),
        a_key(tenant_id="loc_2"),
        a_key(contact_id=None),
        a_key(contact_id=None, tenant_id="loc_2"),
        a_key(contact_id=""),
    ]
    assert len({scope.scope_id for scope in scopes}) == len(scopes)


def test_answers_of_a_tenant_prompt_have_one_key_for_all_contacts():
    assert a_key(contact_id=None) == a_key(contact_id=None)


@given(st.dictionaries(names, texts, min_size=2), st.randoms())
def test_order_of_members_does_not_matter(variables: dict[str, str], random: object):
    members = list(variables.items())
    random.shuffle(members)  # type: ignore[attr-defined]
    assert a_key(variables=variables) == a_key(variables=dict(members))


@given(st.dictionaries(names, texts), st.dictionaries(names, texts))
def test_other_variables_make_another_key(one: dict[str, str], other: dict[str, str]):
    assume(one != other)
    assert a_key(variables=one).key_id != a_key(variables=other).key_id


@given(texts, texts, st.integers(1, 5))
def test_text_cannot_move_from_one_field_into_the_next(left: str, right: str, cut: int):
    moved = left + right[:cut], right[cut:]
    assume(moved != (left, right))
    for fields in (("tenant_id", "contact_id"), ("model", "prompt"), ("prompt", "schema_hash")):
        assert (
            a_key(**dict(zip(fields, (left, right), strict=True))).key_id
            != a_key(**dict(zip(fields, moved, strict=True))).key_id
        )


def test_text_that_looks_like_a_delimiter_stays_text():
    # The pair that collided in a well-known proxy: user="a", stop="b" and user="astop: b".
    assert (
        a_key(variables={"user": "a", "stop": "b"}).key_id != a_key(variables={"user": "astop: b", "stop": ""}).key_id
    )
    assert a_key(variables={"a": "1", "b": "2"}).key_id != a_key(variables={"a": "1\0b\x002"}).key_id


def test_schema_hash_ignores_the_order_of_members_and_nothing_else():
    schema = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "null"}}}
    turned = json.loads('{"properties": {"b": {"type": "null"}, "a": {"type": "string"}}, "type": "object"}')
    assert schema_hash(schema) == schema_hash(turned)
    assert schema_hash(schema) != schema_hash({**schema, "required": ["a"]})
    assert schema_hash(None) == ""
