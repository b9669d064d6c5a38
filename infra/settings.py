"""Every setting, typed, in one class. `tmm doctor` lists them; the environment gives them, with the prefix TMM_."""

import importlib.util
import os
import re
import sys
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from domain.catalogue.method_spec import Backend
from domain.errors import InvalidSettings
from infra.serving.worker_kind import WorkerKind

CHECKOUT = Path(__file__).resolve().parent.parent


_MAY_HOLD_A_PASSWORD = ("database_url", "prefect_database_url")


class Settings(BaseModel):
    """How this installation is set up. Folders that are not named lie under `home`.

    pydantic-settings would read the environment too, and take a quarter of the time of `tmm list` to be imported.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    home: Path = Field(default=CHECKOUT / ".tmm", description="The data folder")
    team: bool = Field(
        default=False,
        description="1 for a team's installation, where only the operator's processes hold the database, the trust "
        "store, the licences and Prefect's password; it does not start where something of that lies open to others",
    )
    database_url: str = Field(
        default="",
        description="postgresql://user@host/database; empty for the embedded SQLite file in the data folder",
        repr=False,
    )
    backends: tuple[Backend, ...] = Field(
        default=(), description="Backends of this machine, comma-separated: cuda, mlx; empty to detect them"
    )
    licences: Path = Field(default=Path(), description="Folder of the installed licences")
    acting_keys: Path = Field(
        default=Path(), description="Folder of the public keys of programs that may say for whom they act"
    )
    trust_store: Path = Field(default=Path(), description="Folder of the public keys that licences are checked with")
    checkpoints: Path = Field(
        default=Path(), description="Folder of the audit log's signed checkpoints; copy it elsewhere, often"
    )
    checkpoint_key: Path = Field(
        default=Path(), description="Folder of the key that checkpoints are signed with; made when there is none"
    )
    artifacts: str = Field(default="", description="Where trained models go")
    shared_checkpoints: str = Field(
        default="",
        description="Where runs' newest checkpoints are copied to, so that another machine can go on with a run: a "
        "folder or URL that all machines reach; empty to keep them on the machine that makes them",
    )
    datasets: Path = Field(
        default=Path(), description="Folder of the datasets that run forms offer by name: files, or folders of them"
    )
    base_models: Path = Field(
        default=Path(), description="Folder of the base models that run forms offer by name, a folder each"
    )
    prefect_host: str = Field(
        default="127.0.0.1",
        description="Where tmm up serves Prefect: this machine's name or address as the others reach it",
    )
    prefect_port: int = Field(
        default=4200, ge=0, le=65535, description="Where tmm up serves Prefect; a free port if it is taken, or 0"
    )
    prefect_names: tuple[str, ...] = Field(
        default=(),
        description="Further names at which tmm up's Prefect is reached, comma-separated: those of a proxy in front of "
        "it, with the port where it is not the usual one",
    )
    prefect_database_url: str = Field(
        default="",
        description="Where tmm up's Prefect server keeps its records: postgresql://user@host/another_database; "
        "empty for an SQLite file in the data folder",
        repr=False,
    )
    poll_seconds: float = Field(
        default=0.3, gt=0, le=60, description="How often a worker asks Prefect for work while something happens there"
    )
    worker: WorkerKind = Field(
        default=WorkerKind.AUTO,
        description="How runs start: warm (libraries imported already), stock (no warm start), or auto: warm on Linux "
        "without a GPU. Either way our worker starts them, and this service's flows alone; one that was started with "
        "Prefect's own command checks nothing",
    )
    slots: int = Field(
        default=0, ge=0, le=64, description="Trainings at once on each backend; 0 for one for each GPU, or one without"
    )
    custom_memory_gb: float = Field(
        default=0, ge=0, description="Memory that a method's own code may use; 0 for nine tenths of the machine's"
    )
    custom_silence_minutes: float = Field(
        default=30, gt=0, description="How long a method's own code may go without reporting a step"
    )

    web_host: str = Field(default="127.0.0.1", description="Where tmm up serves the Training Methods page")
    web_port: int = Field(
        default=4280, ge=0, le=65535, description="Where tmm up serves the page; a free port if it is taken, or 0"
    )
    web_url: str = Field(
        default="", description="The address at which people reach the page, such as https://methods.example"
    )
    web_certificate: str = Field(default="", description="File of the page's TLS certificate, with its chain")
    web_key: str = Field(default="", description="File of the key of that certificate")
    web_trusted_proxies: tuple[str, ...] = Field(
        default=(), description="Addresses or networks of the proxies in front of the page, comma-separated"
    )
    web_user_header: str = Field(
        default="", description="The header in which these proxies, and nobody else, say who somebody is"
    )
    web_largest_upload_mb: int = Field(default=256, ge=1, description="The largest file that can be uploaded at once")
    oidc_issuer: str = Field(default="", description="The OpenID provider that people sign in with at the page")
    oidc_client_id: str = Field(default="", description="What the page is called there")
    oidc_client_secret_file: str = Field(default="", description="File of the secret that it has there")
    oidc_user_claim: str = Field(default="preferred_username", description="The claim that names somebody")
    oidc_groups_claim: str = Field(default="groups", description="The claim that names their groups")
    oidc_operator_groups: tuple[str, ...] = Field(default=(), description="Groups whose members are operators")
    oidc_auditor_groups: tuple[str, ...] = Field(default=(), description="Groups whose members are auditors")
    operators: tuple[str, ...] = Field(default=(), description="People who are operators at the page, comma-separated")
    auditors: tuple[str, ...] = Field(default=(), description="People who are auditors at the page, comma-separated")
    code_authors: tuple[str, ...] = Field(
        default=(), description="People who save code of methods also where it is not confined, comma-separated"
    )

    @field_validator(
        "backends",
        "prefect_names",
        "web_trusted_proxies",
        "oidc_operator_groups",
        "oidc_auditor_groups",
        "operators",
        "auditors",
        "code_authors",
        mode="before",
    )
    @classmethod
    def _comma_separated(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator(*_MAY_HOLD_A_PASSWORD)
    @classmethod
    def _postgresql_or_nothing(cls, value: str) -> str:
        if value and not value.startswith(("postgresql://", "postgres://")):
            raise ValueError("must start with postgresql://, or be empty for an SQLite file")
        return value

    @field_validator("prefect_host")
    @classmethod
    def _of_one_machine(cls, value: str) -> str:
        if value in ("", "0.0.0.0", "::") or "/" in value or ":" in value:
            raise ValueError("must be the name or the IPv4 address at which other machines reach this one")
        return value

    @field_validator("prefect_names")
    @classmethod
    def _names_with_a_port_or_without(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not re.fullmatch(r"[A-Za-z0-9_.-]+(:\d{1,5})?", name) for name in value):
            raise ValueError("must be names without a scheme or a path, as prefect.example or prefect.example:8443")
        return value

    def model_post_init(self, _: Any) -> None:
        defaults = {
            "home": self.home.expanduser().absolute(),
            "licences": self.licences if self.licences != Path() else self.home / "licences",
            "acting_keys": self.acting_keys if self.acting_keys != Path() else self.home / "acting-keys",
            "trust_store": self.trust_store if self.trust_store != Path() else self.home / "trust-store",
            "checkpoints": self.checkpoints if self.checkpoints != Path() else self.home / "checkpoints",
            "checkpoint_key": self.checkpoint_key if self.checkpoint_key != Path() else self.home / "checkpoint-key",
            "artifacts": self.artifacts or str(self.home / "artifacts"),
            "datasets": self.datasets if self.datasets != Path() else self.home / "datasets",
            "base_models": self.base_models if self.base_models != Path() else self.home / "base-models",
            "backends": self.backends or detected_backends(),
        }
        for name, value in defaults.items():
            # The class is frozen for everybody else; here its own defaults are completed once.
            object.__setattr__(self, name, value.absolute() if isinstance(value, Path) else value)

    @classmethod
    def from_environment(cls) -> Self:
        """The settings of this process. Raises `InvalidSettings` naming each variable that cannot be used."""
        names = {f"TMM_{name.upper()}": name for name in cls.model_fields}
        try:
            return cls.model_validate({names[name]: value for name, value in os.environ.items() if name in names})
        except ValidationError as error:
            raise InvalidSettings(
                "; ".join(
                    f"TMM_{str(fault['loc'][0]).upper()}: {_plain(fault['msg'])}"
                    + ("" if fault["loc"][0] in _MAY_HOLD_A_PASSWORD else f", not {fault['input']!r}")
                    for fault in error.errors()
                )
                + "."
            ) from None

    @cached_property
    def sqlite_file(self) -> Path:
        return self.home / "tmm.sqlite"

    @property
    def samples(self) -> Path:
        return CHECKOUT / "infra" / "samples"

    @property
    def templates(self) -> Path:
        """Folder of the templates that methods' own code begins from."""
        return CHECKOUT / "infra" / "templates"

    @property
    def runs(self) -> Path:
        """Folder of the runs' own folders on this machine: progress, checkpoints, what is under way."""
        return self.home / "runs"

    @property
    def measured(self) -> Path:
        """Folder of what was measured of base models on this machine."""
        return self.home / "measured"

    @property
    def tried(self) -> Path:
        """Folder of what trials found of base models on this machine."""
        return self.home / "tried"

    @property
    def code_cache(self) -> Path:
        """Folder of the code of methods that was fetched to this machine."""
        return self.home / "code"

    @property
    def slots_folder(self) -> Path:
        """Folder of the locks that trainings of this machine hold while they use its GPUs."""
        return self.home / "slots"

    @property
    def prefect_home(self) -> Path:
        return self.home / "prefect"

    @property
    def secrets(self) -> Path:
        """Folder of what this installation alone may know, such as its Prefect's password."""
        return self.home / "secrets"

    @property
    def logs(self) -> Path:
        """Folder of the logs of the processes that were started here."""
        return self.home / "logs"

    @property
    def shares_artifacts(self) -> bool:
        """Whether trained models go to a place that the operator chose, and not into the data folder."""
        return self.home not in Path(self.artifacts).absolute().parents

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders in which this service keeps things, wherever they lie."""
        here = (
            self.runs,
            self.measured,
            self.code_cache,
            self.slots_folder,
            self.prefect_home,
            self.secrets,
            self.logs,
        )
        kept = (self.licences, self.acting_keys, self.trust_store, self.checkpoints, self.checkpoint_key)
        return *here, *kept, *(() if "://" in self.artifacts else (Path(self.artifacts).absolute(),))

    def as_environment(self) -> dict[str, str]:
        """The environment that gives a child process these same settings."""
        return {f"TMM_{name.upper()}": _as_variable(getattr(self, name)) for name in type(self).model_fields}


def _as_variable(value: object) -> str:
    """A setting's value as the environment gives it."""
    if isinstance(value, bool):
        return "1" if value else "0"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def detected_backends() -> tuple[Backend, ...]:
    """CUDA everywhere but on Apple machines (it falls back to the CPU), MLX wherever it is installed."""
    cuda = () if sys.platform == "darwin" else (Backend.CUDA,)
    mlx = (Backend.MLX,) if importlib.util.find_spec("mlx_lm") else ()
    return (*cuda, *mlx)


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ").removesuffix(".").replace("Input should", "should")
