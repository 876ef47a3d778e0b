"""Networks, one a file: their settings and their mathematics.

A new one is a file with a class of settings (`NetworkSettings`), whose `build` returns a `Network`.
"""

from lpn.networks._base import LPN, Network, NetworkSettings, Regulariser, build_network, network_settings

BASE = NetworkSettings

__all__ = ["BASE", "LPN", "Network", "NetworkSettings", "Regulariser", "build_network", "network_settings"]
