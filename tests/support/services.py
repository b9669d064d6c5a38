"""All services on one log, with the tests' trainers."""

from adapters.custom_code.checked_code import CheckedCode
from domain.audit.auditing import Auditing
from domain.audit.commands import Commands
from domain.audit.operating import Operating
from domain.audit.proving.signing import Signing
from domain.audit.proving.verified_log import VerifiedLog
from domain.catalogue.catalogue import Catalogue
from domain.catalogue.trainer_declaration import Trainers
from domain.runs.training_runs import TrainingRuns
from infra.settings import Settings
from infra.store import open_log


class Services:
    """What acts on and asks of one log. Use it in a `with`."""

    def __init__(self, settings: Settings, trainers: Trainers) -> None:
        self.log = open_log(settings)
        self.trainings = TrainingRuns(self.log, trainers=trainers)
        self.catalogue = Catalogue(
            self.log, trainers=trainers, code=CheckedCode(settings.artifacts, settings.code_cache), runs=self.trainings
        )
        self.auditing = Auditing(self.log)
        self.operating = Operating(self.log)
        self.signing = Signing(self.log)
        self.commands = Commands(self.log)
        self.verification = VerifiedLog(self.log)

    def __enter__(self) -> "Services":
        return self

    def __exit__(self, *_: object) -> None:
        self.log.close()
