"""Where the page is, and how a request came to it: from whom, by which name, through whose hands."""

from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Place:
    """The address at which people reach the page, and whom it believes what they say of a request.

    `url` has no path. `trusted_proxies` are addresses or networks. `largest_upload` is in bytes.
    """

    url: str
    trusted_proxies: tuple[str, ...] = ()
    largest_upload: int = 256 << 20

    @cached_property
    def names(self) -> frozenset[str]:
        """What a `Host` header may name, without a port: a stranger's name that leads here is none of them."""
        return frozenset({_name(urlsplit(self.url).netloc), *LOOPBACK_NAMES})

    @cached_property
    def is_secure(self) -> bool:
        """Whether people reach it by TLS alone."""
        return self.url.startswith("https://")

    @cached_property
    def cookie_name(self) -> str:
        """Cookies know no ports, so that two pages on one machine need two names."""
        parts = urlsplit(self.url)
        return "__Host-tmm" if self.is_secure else f"tmm-{parts.port or _PORTS[parts.scheme]}"

    @cached_property
    def _proxies(self) -> tuple[IPv4Network | IPv6Network, ...]:
        return tuple(ip_network(each, strict=False) for each in self.trusted_proxies)

    def trusts(self, address: str) -> bool:
        """Whether this is the address of a proxy that is believed."""
        try:
            found = ip_address(address)
        except ValueError:
            return False
        found = getattr(found, "ipv4_mapped", None) or found
        return any(found in proxy for proxy in self._proxies)

    def came(self, scope: Scope) -> "Came":
        """How a request came here."""
        headers = Headers(scope=scope)
        peer = (scope.get("client") or ("", 0))[0]
        if not self.trusts(peer):
            return Came(source=peer, host=_only(headers, "host"), scheme=scope.get("scheme", "http"))
        return Came(
            source=_last(headers, "x-forwarded-for") or peer,
            host=_only(headers, "host"),
            scheme=_last(headers, "x-forwarded-proto").lower() or scope.get("scheme", "http"),
            by_proxy=True,
        )


@dataclass(frozen=True)
class Came:
    """How a request came: from whose address, by which `Host` and scheme, and whether through a trusted proxy."""

    source: str
    host: str
    scheme: str
    by_proxy: bool = False
    name: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", _name(self.host))

    @property
    def origins(self) -> frozenset[str]:
        """What a page of ours that was reached like this is as an origin."""
        return frozenset({f"{self.scheme}://{self.host}".lower()})

    @property
    def kept_apart_by(self) -> str:
        """What attempts are counted by: of IPv6 addresses the network, of which one machine has them all."""
        try:
            found = ip_address(self.source)
        except ValueError:
            return "an unknown address"
        found = getattr(found, "ipv4_mapped", None) or found
        return str(found) if found.version == 4 else str(IPv6Network((int(found) >> 64 << 64, 64)))


def header_once(headers: Headers, name: str) -> str | None:
    """The value of a header that is there once; empty where it is there twice, None where it is not."""
    values = headers.getlist(name)
    return None if not values else values[0] if len(values) == 1 else ""


def _only(headers: Headers, name: str) -> str:
    return header_once(headers, name) or ""


def _last(headers: Headers, name: str) -> str:
    """The last of a list that proxies add to: what stands before it, the client may have written."""
    return ",".join(headers.getlist(name)).rpartition(",")[2].strip()


def _name(host: str) -> str:
    """The name of a host without its port; empty for what is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return ""
    if parts.netloc != host or parts.username is not None or not parts.hostname:
        return ""
    name = parts.hostname.rstrip(".")
    return f"[{name}]" if ":" in name else name
