"""What the audit log can be asked."""

import pytest

from domain.audit.read_models import AuditQuery
from domain.errors import InvalidQuery


@pytest.mark.parametrize("field", ["method", "actor", "text"])
@pytest.mark.parametrize(
    ("odd", "sentence"), [("a\0b", "holds a NUL character"), ("a\ud800", "holds half a character")]
)
def test_a_text_that_no_database_keeps_is_refused_by_its_field(field: str, odd: str, sentence: str) -> None:
    with pytest.raises(InvalidQuery, match=f"{field}: {sentence}"):
        AuditQuery.model_validate({field: odd})
