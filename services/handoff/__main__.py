from kit.process import main
from services.handoff.server import build
from services.handoff.settings import HandoffSettings

main("handoff", build, HandoffSettings)
