"""Container images for tests, made of what this machine already has: no registry, no network, no package manager.

``python -m tests.images build|list|remove``. Each image holds the same etcd, NATS or Dynamo that the environment of the tests holds,
so that a stack in containers and a stack of processes differ in nothing but the containers. docs/test-images.md tells the rest.
"""
