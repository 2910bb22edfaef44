"""`lambdad deploy --template`: every Lambda resource of an AWS SAM or CloudFormation template.

The whole template is read, translated and checked before anything is changed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lambdad.cli.bundle import bundle_directory
from lambdad.cli.client import make_client, service_errors
from lambdad.cli.deploy import DEFAULT_ARCHITECTURE, LOCAL_ROLE, build_bundle
from lambdad.cli.endpoint import Endpoint
from lambdad.cli.errors import CliError
from lambdad.cli.output import note, print_json, print_table, progress
from lambdad.stack.deployment import deploy
from lambdad.stack.errors import StackError
from lambdad.stack.intrinsics import Scope
from lambdad.stack.plan import Plan, decide_conditions, make_plan
from lambdad.stack.sam import Package, Source, translate
from lambdad.stack.target import Made, Names, Target
from lambdad.stack.template import Template, parameter_values, read_template

_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9-]+")
_ARCHIVES = (".zip", ".jar")


@dataclass(frozen=True, slots=True)
class Order:
    """What the user asked for. skips: whether resources that lambdad does not have are left out."""

    template: Path
    stack: str | None
    parameters: Mapping[str, str]
    skips: bool


def deploy_template(order: Order, endpoint: Endpoint, as_json: bool) -> list[Path]:
    """Deploy and print what was made. Returns the places of its code. Raises CliError."""
    sources: list[Path] = []

    def package(source: Source) -> Package:
        sources.append(source.path)
        return _package(source)

    if endpoint.is_aws:
        raise CliError("for AWS itself use `sam deploy`: this command knows no CloudFormation stacks")
    client = make_client(endpoint, "lambda")
    try:
        with service_errors(endpoint):
            template = read_template(order.template)
            parameters = parameter_values(template, order.parameters)
            region = client.meta.region_name
            document, packages = translate(template, parameters, region, package)
            target = Target(
                client=client,
                stack=order.stack or _stack_name(order.template),
                region=region,
                account=make_client(endpoint, "sts").get_caller_identity()["Account"],
                role=LOCAL_ROLE,
                packages=packages,
            )
            made, outputs = _deploy(Template(document, template.directory), parameters, target, order.skips)
    except StackError as error:
        raise CliError(str(error)) from None
    if as_json:
        print_json({"Resources": {item.name: _described(item) for item in made}, "Outputs": outputs})
        return sources
    print_table(("Resource", "Type", "", "Name"), [(item.name, item.kind, item.change, item.ref) for item in made])
    if outputs:
        print_table(("Output", "Value"), list(outputs.items()))
    return sources


def _deploy(
    template: Template, parameters: Mapping[str, Any], target: Target, skips: bool
) -> tuple[list[Made], dict[str, str]]:
    assumed: dict[str, str] = {}
    names = Names(target, parameters, assumed)
    mappings = template.section("Mappings")
    conditions = decide_conditions(template.section("Conditions"), Scope(names, mappings))
    scope = Scope(names, mappings, conditions)
    plan = make_plan(template.document, conditions)
    _check_supported(plan, skips)
    assumed.update({resource.name: resource.kind for resource in (*plan.assumed, *plan.unsupported)})
    made: list[Made] = []
    with progress(f"Deploying {target.stack}"):
        deploy(plan, target, names, scope, made.append)
    return made, _outputs(template, scope)


def _check_supported(plan: Plan, skips: bool) -> None:
    if not plan.unsupported:
        return
    listed = ", ".join(f"{resource.name} ({resource.kind})" for resource in plan.unsupported)
    if not skips:
        raise CliError(
            f"lambdad cannot make {listed}. Nothing was changed. Use a function URL instead of an API, or leave these "
            "out with --skip-unsupported"
        )
    note(f"left out: {listed}")


def _outputs(template: Template, scope: Scope) -> dict[str, str]:
    """The template's outputs, as far as what they tell of is there."""
    found = {}
    for name, output in template.section("Outputs").items():
        condition = output.get("Condition") if isinstance(output, dict) else None
        if isinstance(output, dict) and (condition is None or scope.conditions.get(condition)):
            try:
                found[name] = str(scope.resolve(output.get("Value")))
            except StackError as error:
                note(f"output {name}: {error}")
    return found


def _package(source: Source) -> Package:
    if source.path.is_file():
        if source.path.suffix not in _ARCHIVES:
            raise StackError(f"{source.path} is neither a directory nor a .zip or .jar")
        content = source.path.read_bytes()
    elif source.is_layer:
        content = bundle_directory(source.path).content
    else:
        architecture = source.architecture or DEFAULT_ARCHITECTURE
        content = build_bundle(source.path, source.runtime or "", architecture).content
    return Package(content, hashlib.sha256(content).hexdigest())


def _stack_name(template: Path) -> str:
    return _NOT_IN_NAMES.sub("-", template.resolve().parent.name).strip("-") or "stack"


def _described(item: Made) -> dict[str, Any]:
    return {"Type": item.kind, "Ref": item.ref, "Change": item.change, "Attributes": dict(item.attributes)}
