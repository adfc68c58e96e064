from .caution import Caution as Caution
from .controller import Controller as Controller
from .loggers import Logger as Logger
from .loggers import TensorBoard as TensorBoard
from .loggers import WandB as WandB
from .loggers import show_charts as show_charts
from .torch import PolicyLR as PolicyLR
from .watch import Watcher as Watcher
