"""Runs the cache service."""

from kit.process import main
from services.cache.server import build
from services.cache.settings import CacheSettings

if __name__ == "__main__":
    main("cache", build, CacheSettings)
