"""A world of listeners with a known taste, to try recommenders on before people hear them."""

from musicrec.simulation.arms import ARMS, ArmName, Listened, Player, listened
from musicrec.simulation.logs import write_logs
from musicrec.simulation.report import listening
from musicrec.simulation.sessions import Played, random_policy, session
from musicrec.simulation.world import World

__all__ = ["ARMS", "ArmName", "Listened", "Played", "Player", "World", "listened", "listening", "random_policy", "session", "write_logs"]
