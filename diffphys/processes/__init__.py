from .base import (
    AbstractProcess as AbstractProcess,
    AbstractStationaryProcess as AbstractStationaryProcess,
    Kernel as Kernel,
)
from .linear import (
    LinearProcess as LinearProcess,
    complete_recipe as complete_recipe,
    third_order_langevin as third_order_langevin,
)
from .overdamped import Brownian as Brownian, OrnsteinUhlenbeck as OrnsteinUhlenbeck
from .phase_space import PhaseSpaceLangevin as PhaseSpaceLangevin
from .schedule import (
    AbstractSchedule as AbstractSchedule,
    LinearSchedule as LinearSchedule,
    Scheduled as Scheduled,
    ScheduledStationary as ScheduledStationary,
)
