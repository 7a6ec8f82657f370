"""What comes back from a form is whatever a client sends."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.views import forms
from bot.views.button_id import button_id
from tests.bot.examples import JOB

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["component", "custom_id", "value", "values"]), inner)
    ),
)


@given(anything)
def test_answers_are_texts_by_name(components):
    for name, value in forms._answers(components):
        assert isinstance(name, str)
        assert isinstance(value, str)


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"custom_id": "remix"},
        {"custom_id": button_id("u", JOB.id)},
        {"custom_id": button_id("m", JOB.id)},
        {
            "custom_id": button_id("m", JOB.id),
            "components": [{"component": {"custom_id": "picture", "values": ["9"]}}],
        },
        {
            "custom_id": button_id("m", JOB.id),
            "components": [
                {"component": {"custom_id": "prompt", "value": "a cat"}},
                {"component": {"custom_id": "picture", "values": ["4"]}},
            ],
        },
    ],
)
async def test_a_forged_form_gets_a_sentence(sent, monkeypatch):
    told = []

    async def tell(_interaction, content, _file=None):
        told.append(content)

    monkeypatch.setattr("bot.views.interactions.tell", tell)
    client = SimpleNamespace(services=SimpleNamespace(jobs=None))
    await forms.answer_form(SimpleNamespace(id=1, data=sent, locale="en-GB", client=client))
    assert len(told) == 1
    assert "another version" in told[0]
