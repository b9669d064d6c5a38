"""Which code of one's own a method may train with: what was kept after the check, by its hash."""

from domain.catalogue.method_spec import MethodCode
from infra.settings import Settings


class CheckedCode:
    """Looks in the artifact store; the store's libraries are imported when somebody gives code to a method."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def must_be_checked(self, code: MethodCode) -> None:
        from adapters.custom_code.code_store import CodeStore

        CodeStore(self._settings.artifacts, self._settings.code_cache).must_be_checked(code)
