"""Which code of one's own a method may train with: what was kept after the check, by its hash."""

from pathlib import Path

from domain.catalogue.method_spec import MethodCode


class CheckedCode:
    """Looks in the artifact store; the store's libraries are imported when somebody gives code to a method."""

    def __init__(self, artifacts: str, cache: Path) -> None:
        self._artifacts = artifacts
        self._cache = cache

    def must_be_checked(self, code: MethodCode) -> None:
        from adapters.custom_code.code_store import CodeStore

        CodeStore(self._artifacts, self._cache).must_be_checked(code)
