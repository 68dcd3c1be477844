"""The order ``fair``: tenants share the cores by weight; within a tenant, short programs come first."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator, Sequence

from agentkernel.api import LLMCall, Order, Usage, WaitingCall, hookimpl
from agentkernel_order_fair._options import FairOptions
from agentkernel_order_fair._tenants import Tenant, TenantQueue
from agentkernel_order_plas import Plas, PlasOptions, ProgramService

__all__ = ["Fair", "FairOptions", "create_order"]

_MAX_GIVEN_OUT = 16_384
_MANY_TENANTS = 1_024


class Fair(Order):
    """Start-time fair queueing over tenants, and within a tenant program-level least attained service.

    Each tenant's next call has a start tag; the call with the smallest is next, the virtual time becomes its tag, and its
    cost divided by the tenant's weight is added to the tenant's tag. A tenant that comes back after a pause starts at the
    virtual time: what it did not use is not saved up. (Goyal, Vin and Cheng, "Start-time fair queueing", SIGCOMM 1996;
    costs in tokens as in Sheng et al., "Fairness in serving large language models", OSDI 2024.)

    A call costs the tokens of its prompt and ``output_weight`` times those of its answer. Until it has ended it is taken
    to cost what the tenant's calls cost on average; then its tag is corrected. So it stays where the core does not count
    tokens or the call failed. A call that placement took from behind the first is charged when it has ended. Calls of
    other queues are not charged: each queue shares out its own cores.

    No tenant waits for ever for the others, and no program of a tenant for the tenant's other ones, which age as in
    :class:`~agentkernel_order_plas.Plas`. Push, pop and remove cost O(log n).
    """

    def __init__(self, options: FairOptions) -> None:
        self._options = options
        self._within = PlasOptions(scale_s=options.scale_s, age_s=options.age_s)
        self._service = ProgramService(options.scale_s)
        self._tenants: dict[str, Tenant] = {}
        self._many_tenants = _MANY_TENANTS
        self._queue = TenantQueue()
        self._charged: OrderedDict[int, float] = OrderedDict()  # by id() of each call given out
        self._waiting = 0

    def push(self, waiting: WaitingCall, now: float) -> None:
        tenant = self._tenant(waiting.call)
        if not len(tenant.calls):
            self._queue.enter(tenant)
        tenant.calls.push(waiting, now)
        self._waiting += 1

    def pop(self, now: float) -> WaitingCall:
        tenant = self._queue.first()
        if tenant is None:
            raise IndexError("pop from an empty order")
        waiting = tenant.calls.pop(now)
        self._waiting -= 1
        tokens = self._cost(tenant, waiting)
        self._queue.advance(tenant)
        self._given_out(waiting.call, tokens)
        self._queue.charge(tenant, tokens)
        return waiting

    def peek(self, now: float, count: int = 1) -> Sequence[WaitingCall]:
        first = self._queue.first()
        if first is None:
            return ()
        if count == 1:
            return first.calls.peek(now)
        return self._next(now, min(count, self._waiting))

    def remove(self, waiting: WaitingCall) -> bool:
        tenant = self._tenants.get(waiting.call.context.tenant)
        if tenant is None or not tenant.calls.remove(waiting):
            return False
        self._waiting -= 1
        self._given_out(waiting.call, 0.0)
        return True

    def __len__(self) -> int:
        return self._waiting

    def finished(self, call: LLMCall, usage: Usage, service_s: float, now: float) -> None:
        self._service.add(call.context.program, service_s, now)
        charged = self._charged.pop(id(call), None)
        cost = usage.input_tokens + self._options.output_weight * usage.output_tokens
        if charged is not None and cost:
            tenant = self._tenant(call)
            tenant.learn(cost)
            self._queue.charge(tenant, cost - charged)

    def program_closed(self, program: str) -> None:
        self._service.forget(program)

    def _next(self, now: float, count: int) -> list[WaitingCall]:
        """The next pops, played through on copies of the tags."""
        waiting = [tenant for tenant in self._tenants.values() if len(tenant.calls)]
        tags = [(tenant.start, tenant.name, tenant) for tenant in waiting]
        tags = heapq.nsmallest(count, tags)
        calls: dict[str, Iterator[WaitingCall]] = {}
        found: list[WaitingCall] = []
        while len(found) < count:
            start, name, tenant = tags[0]
            if name not in calls:
                calls[name] = iter(tenant.calls.peek(now, count - len(found)))
            call = next(calls[name], None)
            if call is None:
                heapq.heappop(tags)
                continue
            found.append(call)
            after = tenant.after(start, self._cost(tenant, call))
            heapq.heapreplace(tags, (after, name, tenant))
        return found

    def _cost(self, tenant: Tenant, waiting: WaitingCall) -> float:
        """What giving the call out is charged: nothing more, where it was suspended and comes again."""
        return 0.0 if id(waiting.call) in self._charged else tenant.expected

    def _given_out(self, call: LLMCall, charged: float) -> None:
        """Remember what a call was charged. One that was cancelled instead is pushed out by those that follow."""
        self._charged.setdefault(id(call), charged)
        if len(self._charged) > _MAX_GIVEN_OUT:
            self._charged.popitem(last=False)

    def _tenant(self, call: LLMCall) -> Tenant:
        name = call.context.tenant
        tenant = self._tenants.get(name)
        if tenant is None:
            if len(self._tenants) >= self._many_tenants:
                self._forget_idle()
            weight, calls = self._options.weights.get(name, 1.0), Plas(self._within, self._service)
            tenant = Tenant(name, weight, calls, self._queue.virtual_time)
            self._tenants[name] = tenant
        return tenant

    def _forget_idle(self) -> None:
        """A tenant without waiting calls whose tag has passed is as good as a new one."""
        self._tenants = {
            name: tenant
            for name, tenant in self._tenants.items()
            if len(tenant.calls) or tenant.start > self._queue.virtual_time
        }
        self._many_tenants = max(_MANY_TENANTS, 2 * len(self._tenants))


@hookimpl
def create_order(options: FairOptions) -> Order:
    """Create the order of one queue."""
    return Fair(options)
