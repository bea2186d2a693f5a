"""Keyed hashes of what a person is reached by."""

import pytest

from services.gateway.addresses import Addresses

ADDRESSES = Addresses(b"a key of the tests")


@pytest.mark.parametrize("written", ["+12065550100", "(206) 555-0100", "206.555.0100", "1 206 555 0100"])
def test_phone_is_the_same_however_it_is_written(written):
    assert ADDRESSES.of_profile("loc_1", {"phone": written}) == ADDRESSES.of_profile("loc_1", {"phone": "2065550100"})


def test_mail_is_the_same_in_capitals():
    assert ADDRESSES.of_profile("loc_1", {"email": " Ann@X.org"}) == ADDRESSES.of_profile(
        "loc_1", {"email": "ann@x.org"}
    )


@pytest.mark.parametrize("profile", [{}, {"phone": "", "email": "none"}, {"phone": None, "email": 7}])
def test_profile_without_an_address_has_no_hashes(profile):
    assert ADDRESSES.of_profile("loc_1", profile) == ()


def test_same_address_of_another_tenant_kind_or_key_is_another_hash():
    said = "2065550100"
    hashes = {
        ADDRESSES.of_profile("loc_1", {"phone": said})[0],
        ADDRESSES.of_profile("loc_2", {"phone": said})[0],
        ADDRESSES.of_contact("loc_1", said),
        Addresses(b"another key of the tests").of_profile("loc_1", {"phone": said})[0],
    }
    assert len(hashes) == 4
    assert all(said not in each and len(each) == 64 for each in hashes)
