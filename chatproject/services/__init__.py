"""The services that Tether brings along for laptops, demonstrations and tests: Redis, nginx, a small model."""
