"""Network addresses in settings: which are of this machine, and which belong to given networks."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator


def _networks(value: object) -> object:
    return tuple(ip_network(name) for name in value.replace(",", " ").split()) if isinstance(value, str) else value


Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_networks)]


def contains(networks: Networks, address: str) -> bool:
    """Whether `address` belongs to one of the networks; False for what is no IP address.

    >>> contains((ip_network("10.0.0.0/8"),), "10.1.2.3"), contains((ip_network("10.0.0.0/8"),), "a name")
    (True, False)
    """
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return any(found in network for network in networks)


def is_loopback(url: str) -> bool:
    """Whether the server of `url` is on this machine, so that a proxy must not be asked for it.

    >>> [is_loopback(url) for url in ("http://localhost:9000", "http://127.0.0.1", "http://[::1]:80", "https://example.org")]
    [True, True, True, False]
    """
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
