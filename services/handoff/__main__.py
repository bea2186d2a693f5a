"""Runs the arbiter."""

from kit.process import main
from services.handoff.server import build
from services.handoff.settings import HandoffSettings

if __name__ == "__main__":
    main("handoff", build, HandoffSettings)
