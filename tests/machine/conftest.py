"""A libnvidia-ml.so.1 compiled here, so that the real pynvml talks to cards that are not there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SOURCE = r"""
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
/* The part of NVML that finetty reads. STUB_CARDS cards; STUB_INIT is what nvmlInit returns; STUB_GAPS=1 answers
   NOT_SUPPORTED (3) wherever a card may. STUB_MIG is how many MIG devices card 0 was cut into, in every other of its
   places; at 0 it is in MIG mode and was not cut. Structures as in nvml.h. */
#define SLICE 100 /* handles from here on are MIG devices */
typedef struct { unsigned long long total, free, used; } memory_t;
typedef struct { unsigned int gpu, memory; } utilization_t;
static int number(const char *name, int otherwise) { char *text = getenv(name); return text ? atoi(text) : otherwise; }
static int gap(void) { return number("STUB_GAPS", 0) ? 3 : 0; }
int nvmlInitWithFlags(unsigned int flags) { return number("STUB_INIT", 0); }
int nvmlInit_v2(void) { return number("STUB_INIT", 0); }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) { return "stub"; }
int nvmlSystemGetDriverVersion(char *text, unsigned int length) {
  const char *version = getenv("STUB_DRIVER");
  snprintf(text, length, "%s", version ? version : "580.95.05"); return 0; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 13000; return 0; }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = number("STUB_CARDS", 1); return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **handle) {
  if ((int)index == number("STUB_LOST", -1)) return 15;
  *handle = (void *)(size_t)(index + 1); return 0; }
static int slice(void *card) { return (int)(size_t)card >= SLICE ? (int)(size_t)card - SLICE + 1 : 0; }
int nvmlDeviceGetMigMode(void *card, unsigned int *current, unsigned int *pending) {
  if (gap() || !getenv("STUB_MIG")) return 3;
  *current = *pending = card == (void *)1; return 0; }
int nvmlDeviceGetMaxMigDeviceCount(void *card, unsigned int *count) { *count = 7; return 0; }
int nvmlDeviceGetMigDeviceHandleByIndex(void *card, unsigned int index, void **handle) {
  if (index % 2 || (int)index >= 2 * number("STUB_MIG", 0)) return 6;
  *handle = (void *)(size_t)(SLICE + index); return 0; }
int nvmlDeviceGetName(void *card, char *text, unsigned int length) {
  if (slice(card)) snprintf(text, length, "Stub RTX 0 MIG 1g.5gb");
  else snprintf(text, length, "Stub RTX %d", (int)(size_t)card - 1);
  return 0; }
int nvmlDeviceGetUUID(void *card, char *text, unsigned int length) {
  if (slice(card)) snprintf(text, length, "MIG-0000000%d-aaaa", slice(card));
  else snprintf(text, length, "GPU-0000000%d-aaaa", (int)(size_t)card - 1);
  return 0; }
int nvmlDeviceGetMemoryInfo(void *card, memory_t *memory) {
  if (gap()) return 3;
  if (slice(card)) {
    memory->total = 5ull << 30; memory->used = (unsigned long long)slice(card) << 30;
    memory->free = memory->total - memory->used; return 0; }
  memory->total = 24ull << 30; memory->used = (card == (void *)1 ? 20ull : 2ull) << 30;
  memory->free = memory->total - memory->used; return 0; }
int nvmlDeviceGetCudaComputeCapability(void *card, int *major, int *minor) {
  if (gap() || slice(card)) return 3;
  *major = number("STUB_MAJOR", 12); *minor = number("STUB_MINOR", 0); return 0; }
int nvmlDeviceGetUtilizationRates(void *card, utilization_t *busy) {
  if (gap() || slice(card)) return 3; busy->gpu = 97; return 0; }
int nvmlDeviceGetPowerUsage(void *card, unsigned int *milliwatts) {
  if (gap() || slice(card)) return 3; *milliwatts = 312500; return 0; }
int nvmlDeviceGetEnforcedPowerLimit(void *card, unsigned int *milliwatts) {
  if (gap() || slice(card)) return 3; *milliwatts = 450000; return 0; }
int nvmlDeviceGetTemperature(void *card, int sensor, unsigned int *celsius) {
  if (gap() || slice(card)) return 3; *celsius = 64; return 0; }
int nvmlDeviceGetTemperatureV(void *card, void *temperature) {
  if (gap() || slice(card)) return 3; ((int *)temperature)[2] = 64; return 0; }
int nvmlDeviceGetCurrentClocksEventReasons(void *card, unsigned long long *reasons) {
  if (gap() || slice(card)) return 3; *reasons = number("STUB_REASONS", 0); return 0; }
typedef struct { unsigned int pid; unsigned long long used; unsigned int instance, compute; } process_t;
int nvmlDeviceGetComputeRunningProcesses_v3(void *card, unsigned int *count, process_t *processes) {
  /* STUB_PID computes on card 0, STUB_OTHER on every card and on every MIG device. */
  int pids[2] = { card == (void *)1 ? number("STUB_PID", 0) : 0, number("STUB_OTHER", 0) };
  unsigned int found = 0, room = processes ? *count : 0;
  if (gap()) return 3;
  for (int i = 0; i < 2; i++) if (pids[i]) {
    if (found < room) { processes[found].pid = pids[i]; processes[found].used = (i ? 1ull : 18ull) << 30; }
    found++; }
  *count = found;
  return found > room ? 7 : 0; }
int nvmlDeviceGetClockInfo(void *card, int clock, unsigned int *mhz) {
  if (gap() || slice(card)) return 3; *mhz = clock == 2 ? 10501 : 2520; return 0; }
"""

Ask = Callable[..., Any]


@pytest.fixture(scope="session")
def stub_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler is here to build the stub with")
    folder = tmp_path_factory.mktemp("nvml")
    source = folder / "nvml.c"
    source.write_text(SOURCE)
    command = [compiler, "-shared", "-fPIC", "-o", str(folder / "libnvidia-ml.so.1"), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture
def with_cards(stub_folder: Path) -> Ask:
    """Evaluate an expression in a fresh interpreter that has these cards; the answer comes back as JSON."""

    def ask(code: str, **environment: object) -> Any:
        settings = {name: str(value) for name, value in environment.items()}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "LD_LIBRARY_PATH": str(stub_folder), **settings},
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    return ask
