"""Schema of a study's `[workload]`: how often the device computes, and what it draws in between."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from explorer.io.declarations import Declaration, quantity, validation_error
from explorer.problem.workload.usage import Workload

# 1 kg/kWh is the electricity of a coal plant; a number without its unit would be millions of times as much.
_MAX_CARBON = 1e-5

_Time = Annotated[float, quantity("s"), Field(gt=0, le=1e9)]
_Power = Annotated[float, quantity("W"), Field(ge=0)]
_Energy = Annotated[float, quantity("J"), Field(ge=0)]


class WorkloadDeclaration(Declaration):
    """Use of the device, for mean power, battery life, deadlines and waiting times."""

    period: _Time | None = Field(None, description="one inference each period: in s, or '100 ms', '5 min'")
    rate: Annotated[float, quantity("/s"), Field(gt=0, le=1e9)] | None = Field(
        None, description="mean number of inferences a second instead: a number, or '10 /s', '600 /h'"
    )
    arrivals: Literal["periodic", "poisson"] = Field(
        "periodic", description="periodic, or poisson: at random times, with rate", validate_default=True
    )
    deadline: _Time | None = Field(None, description="acceptable time from an arrival to its answer, such as '100 ms'")
    idle_power: _Power | None = Field(None, description="power between inferences, such as '0.4 W'; 0 if switched off")
    sleep_power: _Power | None = Field(
        None, description="power where the device sleeps between inferences; with idle_power the cheaper one is taken"
    )
    wake_energy: _Energy | None = Field(None, description="energy of each wake from sleep, such as '5 mJ'; default 0")
    battery: Annotated[float, quantity("J"), Field(gt=0)] | None = Field(
        None, description="usable energy of the battery, such as '10 Wh'"
    )
    carbon_intensity: Annotated[float, quantity("kg/J"), Field(ge=0)] | None = Field(
        None, description="emissions of the electricity, with its unit: '300 g/kWh'"
    )

    @field_validator("rate")
    @classmethod
    def _check_rate(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("period") is not None:
            raise validation_error(
                "both period and rate are given", fix="keep one: a rate of 10 /s is a period of 100 ms"
            )
        return value

    @field_validator("arrivals")
    @classmethod
    def _check_arrivals(cls, value: str, info: ValidationInfo) -> str:
        # A field with a fault of its own is absent from `info.data`: it was given, and its fault is told.
        period, rate = (info.data.get(name, 1.0) for name in ("period", "rate"))
        if period is None and rate is None:
            raise validation_error(
                "neither period nor rate is given", fix="write period = '1 s', or rate = '10 /s', in [workload]"
            )
        if value == "poisson" and rate is None:
            mean = "" if period is None else f" instead of the period: rate = '{1 / period:.6g} /s'"
            raise validation_error("arrivals at random times have no period", fix=f"give their rate{mean}")
        return value

    @field_validator("wake_energy")
    @classmethod
    def _check_wake_energy(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("sleep_power", 0.0) is None:
            raise validation_error(
                "wake_energy is given, but no sleep to wake from", fix="add sleep_power = '20 mW', or leave it out"
            )
        return value

    @field_validator("carbon_intensity")
    @classmethod
    def _check_carbon_intensity(cls, value: float | None) -> float | None:
        if value is not None and value > _MAX_CARBON:
            raise validation_error(
                f"{value:g} kg/J is {value * 3.6e9:g} g/kWh, more than any electricity emits",
                fix="give its unit: carbon_intensity = '300 g/kWh'",
            )
        return value

    @property
    def workload(self) -> Workload:
        """The declared use in SI."""
        return Workload(
            period_s=self.period if self.period is not None else 1 / (self.rate or 1.0),
            is_poisson=self.arrivals == "poisson",
            deadline_s=self.deadline,
            idle_power_w=self.idle_power,
            sleep_power_w=self.sleep_power,
            wake_energy_j=self.wake_energy or 0.0,
            battery_j=self.battery,
            carbon_kg_per_j=self.carbon_intensity,
        )
