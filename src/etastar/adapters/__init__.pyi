from .controller import Controller as Controller
from .torch import PolicyLR as PolicyLR
