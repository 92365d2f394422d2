"""What this box offers: cards, memory, disk, and the accelerators that are installed."""

from finetty.backend.machine.doctor import doctor
from finetty.backend.machine.facts import Accelerator, GpuFacts, MachineFacts
from finetty.backend.machine.gpus import GpuReading, watch_gpus
from finetty.backend.machine.reading import machine_facts

__all__ = ["Accelerator", "GpuFacts", "GpuReading", "MachineFacts", "doctor", "machine_facts", "watch_gpus"]
