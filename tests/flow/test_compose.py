"""The whole of docker-compose.yml without containers: its commands and environments, over mTLS, on free ports."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2

from sandbox.child import free_port
from sandbox.table import PROCESSES, STAND_INS
from tests.support.compose import read, serving, set_up
from tests.support.system import until


async def test_text_is_answered_when_all_run_as_compose_runs_them(state_dir: Path, valkey: str):
    """Goal: what compose says fits together. Only host names, ports and paths differ from the containers'."""
    services = read()["services"]
    taken = [(each.name, port) for each in PROCESSES for port in (each.port, each.http_port) if port is not None]
    ports = {port: free_port() for _, port in taken}
    async with set_up(state_dir) as deployment, AsyncExitStack() as stack:

        def here(value: str) -> str:
            value = value.replace("redis://valkey:6379/0", valkey)
            for name, port in taken:
                # By name, as certificates are checked; not the address that the name stands for.
                value = value.replace(f"{name}:{port}", f"localhost:{ports[port]}")
                value = value.replace(f"0.0.0.0:{port}", f"127.0.0.1:{ports[port]}")
            return value

        async def start(name: str) -> None:
            env = {key: here(value) for key, value in deployment.environment(name).items()}
            env |= {"PORCHLIGHT_STATE_DIR": str(deployment.state_dir)} if name == "crm" else {}
            await stack.enter_async_context(serving(services[name]["command"][-1], env))

        stand_ins = {each.name for each in STAND_INS}
        order = sorted((each.name for each in PROCESSES), key=lambda name: (name in stand_ins, name == "gateway"))
        async with asyncio.TaskGroup() as group:
            for name in order:
                group.create_task(start(name))
        phone = await stack.enter_async_context(
            httpx2.AsyncClient(base_url=f"http://127.0.0.1:{ports[8090]}/phone", timeout=10)
        )
        contact = (await phone.post("/contacts", json={"firstName": "Ana", "phone": "(206) 555-0100"})).json()["id"]
        sent = await phone.post(f"/contacts/{contact}/messages", json={"text": "I need to sell my house ASAP"})
        assert sent.status_code == 201, sent.text

        async def answered() -> bool:
            messages = (await phone.get(f"/contacts/{contact}/messages")).json()["messages"]
            return any(each["author"] == "bot" for each in messages)

        await until("a bot's answer on the phone", answered, seconds=30)

        async def panel() -> dict[str, Any] | None:
            shown: dict[str, Any] = (await phone.get(f"/contacts/{contact}/timeline")).json()
            return shown.get("timeline")

        # The stand-in asks the gateway as the console, with a certificate too.
        assert (await until("the panel beside the phone", panel))["owner"] == "seller"
