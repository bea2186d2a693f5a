"""Run the gateway: `python -m services.gateway`."""

from kit.process import main
from services.gateway.build import build
from services.gateway.settings import GatewaySettings

main("gateway", build, GatewaySettings)
