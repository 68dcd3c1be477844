"""What ``ak run`` puts first on PYTHONPATH: wraps a framework just before a program imports it.

Every Python child process of the program loads this file, also one of another version and one that
has no agentkernel. So it uses no syntax of late, imports nothing, and fails nowhere by itself.
"""

# mypy: ignore-errors

import os
import sys


def _chain():
    """Leave ``sys.path`` as it was without us, and run the ``sitecustomize`` that we stand before."""
    here = os.path.realpath(os.path.dirname(os.path.abspath(__file__)))
    sys.path[:] = [path for path in sys.path if os.path.realpath(path or ".") != here]
    ours = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # noqa: F401
    except ImportError as error:
        if getattr(error, "name", "sitecustomize") != "sitecustomize":
            raise
    finally:
        if ours is not None:
            sys.modules.setdefault("sitecustomize", ours)


class _Watch(object):  # noqa: UP004
    """Finds the modules named in AGENTKERNEL_RUN_WATCH as others do, but wraps before they run."""

    def __init__(self, names):
        from _thread import RLock  # built in; a name of Python 3

        self.names = names
        self.lock = RLock()
        # Children get what is left of the environment: only the first process takes this out.
        self.main = os.environ.pop("AGENTKERNEL_RUN_MAIN", None)
        self.pid = os.getpid()

    def find_spec(self, name, path=None, target=None):
        if name not in self.names:
            return None
        for finder in list(sys.meta_path):
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _WrapFirst(spec.loader, self)
                return spec
        return None

    def wrap(self):
        """Wrap everything, once; whoever comes meanwhile waits."""
        with self.lock:
            if self in sys.meta_path:
                sys.meta_path.remove(self)
                self._wrap()

    def _wrap(self):
        in_main = self.main is not None and self.pid == os.getpid()
        quiet = not in_main or self.main == "quiet"
        try:
            from agentkernel import AgentKernelError, wrap
        except ImportError as error:
            if not quiet:
                sys.stderr.write("agentkernel: nothing is wrapped: %s\n" % error)  # noqa: UP031
            return
        names = os.environ.get("AGENTKERNEL_RUN_FRAMEWORKS")
        recorder = _recorder()
        try:
            wrap(frameworks=names.split(",") if names else None, quiet=quiet)
        except AgentKernelError as error:
            sys.stderr.write("agentkernel: nothing is wrapped: %s\n" % error)  # noqa: UP031
            if in_main:  # a child may be of an environment that has other plugins
                raise SystemExit(2)  # noqa: B904 - Python 2 knows no "from"
            return
        if recorder is not None:
            from agentkernel.sdk import find_kernel

            find_kernel().add_hooks(recorder)


def _recorder():
    """What writes down the calls of this process, when ``ak run --record`` asked for it."""
    if not os.environ.get("AGENTKERNEL_RUN_RECORD"):
        return None
    try:
        from agentkernel.cli.recorder import Recorder
    except ImportError:  # a child may be of an environment that has another agentkernel
        return None
    return Recorder.of_environment()


class _WrapFirst(object):  # noqa: UP004
    """A loader that wraps before it runs the module.

    Not earlier, in ``find_spec``: the interpreter then holds the lock of all imports, which the
    kernel's thread needs to start.
    """

    def __init__(self, loader, watch):
        self._loader = loader
        self._watch = watch

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self._loader
        del sys.modules[module.__name__]  # so that its own seams wait until it has run
        try:
            self._watch.wrap()
        finally:
            sys.modules[module.__name__] = module
        self._loader.exec_module(module)
        if "wrapt" in sys.modules:
            sys.modules["wrapt"].notify_module_loaded(module)


try:
    _chain()
finally:
    _names = os.environ.get("AGENTKERNEL_RUN_WATCH")
    if _names and sys.version_info >= (3, 10):
        sys.meta_path.insert(0, _Watch(frozenset(_names.split(","))))
