"""docker-compose.yml and the Dockerfile, as far as they can be judged without an engine."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kit.settings import PREFIX, names
from sandbox.environment import UpSettings, known_names
from sandbox.setup import POSTGRES, secrets_of
from sandbox.table import BOTS, PROCESSES, STAND_INS, Process
from tests.support.compose import ROOT, environment, read

IMAGES = {"postgres:17", "valkey/valkey:8"}
ONCE = {"keys", "setup"}
MODES = ("sandbox", "dry_run", "live")
COMPOSED = read()
SERVICES = COMPOSED["services"]
each_process = pytest.mark.parametrize("process", PROCESSES, ids=lambda process: process.name)


def test_services_are_the_launchers_processes_two_stores_and_what_runs_once():
    assert set(SERVICES) == {each.name for each in PROCESSES} | {"postgres", "valkey"} | ONCE


@each_process
def test_process_runs_the_module_and_listens_on_the_port_of_the_table(process: Process):
    service, env = SERVICES[process.name], environment(SERVICES[process.name])
    assert service["command"] == ["python", "-m", process.module]
    assert env[PREFIX + "LISTEN"] == f"0.0.0.0:{process.port}"
    assert env.get(PREFIX + "HTTP_LISTEN") == (f"0.0.0.0:{process.http_port}" if process.http_port else None)


@each_process
def test_health_is_asked_as_the_table_says(process: Process):
    wanted = ["porchlight", "health"]
    if "grpc" in process.health:
        wanted.append(f"127.0.0.1:{process.port}")
    if "http" in process.health:
        wanted.append(f"http://127.0.0.1:{process.http_port or process.port}")
    assert SERVICES[process.name]["healthcheck"]["test"] == ["CMD", *wanted]


@each_process
def test_stores_are_reached_only_by_those_whom_the_table_gives_them(process: Process):
    networks, env = SERVICES[process.name].get("networks", ["default"]), environment(SERVICES[process.name])
    assert ("database" in networks) == (process.database_group is not None)
    assert (PREFIX + "DATABASE_URL_FILE" in env) == (process.database_group is not None)
    assert ("answers" in networks) == process.cache_store == (PREFIX + "REDIS_URL" in env)


def test_networks_of_the_stores_lead_nowhere_else():
    assert COMPOSED["networks"]["database"] == COMPOSED["networks"]["answers"] == {"internal": True}
    assert SERVICES["postgres"]["networks"] == ["database"]
    assert SERVICES["valkey"]["networks"] == ["answers"]


def test_stand_ins_run_in_the_sandbox_only():
    profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert profiles == {each.name: ["sandbox"] for each in STAND_INS}


@pytest.mark.parametrize("mode", MODES)
@each_process
def test_every_name_is_a_setting_of_that_process(process: Process, mode: str):
    given = environment(read(COMPOSE_PROFILES=mode)["services"][process.name])
    assert {name for name in given if name.startswith(PREFIX)} <= known_names(process)


def test_every_name_of_setup_is_one_of_the_launchers():
    assert set(SERVICES["setup"]["environment"]) <= names(UpSettings)


def test_neighbours_are_asked_for_by_name_and_port_of_the_table():
    targets = {each.name: f"dns:///{each.name}:{each.port}" for each in PROCESSES}
    env = environment(SERVICES["gateway"])
    for name in ("cache", "handoff", "gateway"):
        assert env[f"{PREFIX}{name.upper()}_TARGET"] == targets[name]
    assert env[PREFIX + "BOT_TARGETS"] == ",".join(f"{bot.name}={targets[bot.name]}" for bot in BOTS)


@each_process
def test_files_that_the_environment_names_are_those_that_setup_makes(process: Process, tmp_path: Path):
    named = {
        value.removeprefix("/run/porchlight/")
        for value in environment(SERVICES[process.name]).values()
        if value.startswith("/run/porchlight/")
    }
    made = set(secrets_of(process, tmp_path)) | ({"database.url"} if process.database_group else set())
    assert named == made


@each_process
def test_process_sees_its_own_secrets_and_cannot_change_them(process: Process, tmp_path: Path):
    mounts = [mount for mount in SERVICES[process.name].get("volumes", ()) if "/run/porchlight" in mount]
    has_secrets = bool(secrets_of(process, tmp_path))
    assert mounts == ([f"secrets-{process.name}:/run/porchlight:ro"] if has_secrets else [])
    assert not any(mount.startswith("state:") for mount in SERVICES[process.name].get("volumes", ()))


def test_setup_writes_every_folder_of_secrets_that_somebody_mounts():
    read_by = {m.split(":")[0] for s in SERVICES.values() for m in s.get("volumes", ()) if "/run/porchlight" in m}
    written = [mount for mount in SERVICES["keys"]["volumes"] if mount.startswith("secrets-")]
    assert {mount.split(":")[0] for mount in written} == read_by
    assert all(mount == f"secrets-{name}:/secrets/{name}" for mount in written for name in [mount.split("/")[-1]])
    assert SERVICES["setup"]["volumes"] == SERVICES["keys"]["volumes"]
    assert f"secrets-{POSTGRES}" in read_by


def test_image_has_a_directory_for_every_volume_of_secrets():
    loop = re.search(r"for folder in \[a-z\]\*/ ([\w ]+);", (ROOT / "Dockerfile").read_text())
    assert loop is not None
    folders = {path.parent.name for path in ROOT.glob("services/*/__main__.py")} | set(loop[1].split())
    assert {mount.split("/")[-1] for mount in SERVICES["keys"]["volumes"] if "/secrets/" in mount} == folders


@pytest.mark.parametrize("mode", MODES)
def test_texts_go_to_a_real_crm_only_in_live(mode: str):
    env = environment(read(COMPOSE_PROFILES=mode, PORCHLIGHT_CRM_TOKEN="t")["services"]["gateway"])
    to_stand_in = env.get(PREFIX + "CRM_URL") == "http://crm:8090"
    assert to_stand_in == (mode == "sandbox")
    assert (env[PREFIX + "DELIVERY"] == "live") == (mode != "dry_run")


def test_without_an_env_file_it_is_the_sandbox():
    assert environment(SERVICES["gateway"]) == environment(read(COMPOSE_PROFILES="sandbox")["services"]["gateway"])


def test_example_names_every_variable_and_no_other():
    text = (ROOT / "docker-compose.yml").read_text()
    asked = set(re.findall(r"\$\{(\w+)", text)) - {"PORCHLIGHT_LOG_LEVEL"}
    assert set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)) == asked


@pytest.mark.parametrize("name", SERVICES)
def test_container_can_do_no_more_than_it_needs(name: str):
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service and "privileged" not in service
    assert service["read_only"] is True
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert service["restart"] == ("no" if name in ONCE else "unless-stopped")
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_container_waits_for_has_a_way_to_say_so(name: str):
    for other, how in SERVICES[name].get("depends_on", {}).items():
        wanted = "service_completed_successfully" if other in ONCE else "service_healthy"
        assert how == {"condition": wanted}
        assert other in ONCE or "healthcheck" in SERVICES[other]


def test_every_bot_may_have_replicas():
    # A fixed port could be taken by one of them only; a container name too.
    for bot in BOTS:
        assert SERVICES[bot.name]["ports"] == [f"127.0.0.1::{bot.port}"]
        assert "container_name" not in SERVICES[bot.name]


def test_images_are_the_two_stores_and_our_own():
    for name, service in SERVICES.items():
        if "build" in service:
            assert service["pull_policy"] == "build"
        else:
            assert service["image"] in IMAGES or (service["image"], service["pull_policy"]) == (
                SERVICES["keys"]["image"],
                "never",
            ), name


def test_dockerfile_fetches_its_base_and_hashed_packages_only():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    stages = [line.split() for line in lines if line.startswith("FROM")]
    assert [stage[1] for stage in stages] == ["python:3.13-slim"] * 2
    named = {stage[3] for stage in stages if len(stage) > 2}
    assert {found[1] for line in lines if (found := re.search(r"--from=(\S+)", line))} <= named
    assert not any(re.match(r"#\s*(syntax|escape|check)=", line) for line in lines)
    installs = re.findall(r"pip install (.*)", "\n".join(lines))
    assert [line.split()[0] for line in installs] == ["--require-hashes", "--no-deps"]
    assert not any(re.search(r"\bADD\b|curl|wget|apt-get", line) for line in lines)


def test_image_is_not_run_by_root():
    users = [line.split()[1] for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("USER")]
    assert users == ["10001:10001"]


def test_everything_that_the_dockerfile_builds_from_is_let_in():
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert let_in >= {"kit", "migrations", "protos/gen", "sandbox", "services", "pyproject.toml", "requirements.lock"}
    assert all((ROOT / path).exists() for path in let_in)


def test_hadolint_has_nothing_to_say():
    hadolint = Path(sys.executable).parent / "hadolint"
    checked = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True, check=False, timeout=60)
    assert (checked.returncode, checked.stdout) == (0, "")
