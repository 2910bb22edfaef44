"""Code signing configurations and the functions that have one.

Signatures are made by AWS Signer, whose keys are AWS's: to lambdad every package is one without. `Warn` lets it in, as
at AWS, and `Enforce` refuses it.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from lambdad.control import names
from lambdad.control.describe import timestamp
from lambdad.control.interface import Answer, Call, Handler, Params
from lambdad.control.paging import answer, marker, page_size, paged
from lambdad.control.services import Services
from lambdad.control.tagging import check_tag_count
from lambdad.model.arn import Namespace
from lambdad.model.errors import ApiError, conflict, not_found
from lambdad.model.settings import CodeSigningConfig
from lambdad.store.metadata import Transaction

_PAGE = 10_000


def config_arn(namespace: Namespace, identity: str) -> str:
    return f"arn:aws:lambda:{namespace.region}:{namespace.account}:code-signing-config:{identity}"


def check_code_signing_config(transaction: Transaction, call: Call, arn: str) -> None:
    """The configuration that a function is to have must exist."""
    if _find(transaction, call, arn) is None:
        raise ApiError(
            "CodeSigningConfigNotFoundException",
            404,
            "The code signing configuration cannot be found. "
            f"Check that the provided configuration is not deleted: {arn}.",
        )


def check_signed(transaction: Transaction, call: Call, arn: str | None) -> None:
    """Refuse code, of a function or a layer, for a function whose configuration enforces signatures.

    arn: of the configuration; None if the function has none. One that has been deleted since enforces nothing.
    """
    config = None if arn is None else _find(transaction, call, arn)
    if config is not None and config.untrusted_artifact == "Enforce":
        raise ApiError(
            "CodeVerificationFailedException",
            400,
            "The code signature failed one or more of the validation checks for signature mismatch or expiry, and the "
            "code signing policy is set to ENFORCE. Lambda blocks the deployment.",
        )


class CodeSigningOperations:
    """The operations on code signing configurations."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def operations(self) -> dict[str, Handler]:
        return {
            "CreateCodeSigningConfig": self.create,
            "GetCodeSigningConfig": self.get,
            "UpdateCodeSigningConfig": self.update,
            "DeleteCodeSigningConfig": self.delete,
            "ListCodeSigningConfigs": self.list,
            "ListFunctionsByCodeSigningConfig": self.list_functions,
            "PutFunctionCodeSigningConfig": self.put_function,
            "GetFunctionCodeSigningConfig": self.get_function,
            "DeleteFunctionCodeSigningConfig": self.delete_function,
        }

    async def create(self, call: Call, params: Params) -> Answer:
        tags = params.get("Tags", {})
        check_tag_count(tags)
        policies = params.get("CodeSigningPolicies", {})
        config = CodeSigningConfig(
            id="csc-" + hashlib.sha256(self._services.new_id().encode()).hexdigest()[:17],
            description=params.get("Description", ""),
            publishers=tuple(params["AllowedPublishers"]["SigningProfileVersionArns"]),
            untrusted_artifact=policies.get("UntrustedArtifactOnDeployment", "Warn"),
            last_modified=call.now,
        )

        def create(transaction: Transaction) -> None:
            transaction.code_signing.put(call.namespace, config)
            transaction.tags.put(call.namespace, config_arn(call.namespace, config.id), tags)

        await self._services.store.write(create)
        return {"CodeSigningConfig": _describe(call, config)}

    async def get(self, call: Call, params: Params) -> Answer:
        config = await self._services.store.read(
            lambda transaction: _get(transaction, call, params["CodeSigningConfigArn"])
        )
        return {"CodeSigningConfig": _describe(call, config)}

    async def update(self, call: Call, params: Params) -> Answer:
        def update(transaction: Transaction) -> CodeSigningConfig:
            config = replace(_get(transaction, call, params["CodeSigningConfigArn"]), last_modified=call.now)
            if "Description" in params:
                config = replace(config, description=params["Description"])
            if "AllowedPublishers" in params:
                config = replace(config, publishers=tuple(params["AllowedPublishers"]["SigningProfileVersionArns"]))
            policy = params.get("CodeSigningPolicies", {}).get("UntrustedArtifactOnDeployment")
            if policy is not None:
                config = replace(config, untrusted_artifact=policy)
            transaction.code_signing.put(call.namespace, config)
            return config

        return {"CodeSigningConfig": _describe(call, await self._services.store.write(update))}

    async def delete(self, call: Call, params: Params) -> Answer:
        arn = params["CodeSigningConfigArn"]

        def delete(transaction: Transaction) -> None:
            config = _get(transaction, call, arn)
            if _users(transaction, call, arn):
                raise conflict(
                    f"The code signing configuration {arn} is still attached to functions. "
                    "Detach it from them before you delete it."
                )
            transaction.code_signing.remove(call.namespace, config.id)
            transaction.tags.remove_all(call.namespace, arn)

        await self._services.store.write(delete)
        return {}

    async def list(self, call: Call, params: Params) -> Answer:
        size = page_size(params, _PAGE)
        (start,) = marker(params, 1) or ("",)
        configs = await self._services.store.read(
            lambda transaction: transaction.code_signing.page(call.namespace, start, size + 1)
        )
        page, following = paged(configs, size, lambda config: (config.id,))
        return answer("CodeSigningConfigs", [_describe(call, config) for config in page], following)

    async def list_functions(self, call: Call, params: Params) -> Answer:
        arn = params["CodeSigningConfigArn"]
        size = page_size(params, _PAGE)
        (start,) = marker(params, 1) or ("",)

        def read(transaction: Transaction) -> list[str]:
            _get(transaction, call, arn)
            return [name for name in _users(transaction, call, arn) if name >= start]

        users = await self._services.store.read(read)
        page, following = paged(users, size, lambda name: (name,))
        space = call.namespace
        arns = [f"arn:aws:lambda:{space.region}:{space.account}:function:{name}" for name in page]
        return answer("FunctionArns", arns, following)

    async def put_function(self, call: Call, params: Params) -> Answer:
        name = names.unqualified(call, params)
        arn = params["CodeSigningConfigArn"]

        def put(transaction: Transaction) -> None:
            check_code_signing_config(transaction, call, arn)
            function = names.get_function(transaction, call, name)
            transaction.functions.put(replace(function, code_signing_config_arn=arn))

        await self._services.store.write(put)
        return {"CodeSigningConfigArn": arn, "FunctionName": name}

    async def get_function(self, call: Call, params: Params) -> Answer:
        name = names.unqualified(call, params)
        function = await self._services.store.read(lambda transaction: names.get_function(transaction, call, name))
        if function.code_signing_config_arn is None:
            return {}
        return {"CodeSigningConfigArn": function.code_signing_config_arn, "FunctionName": name}

    async def delete_function(self, call: Call, params: Params) -> Answer:
        name = names.unqualified(call, params)

        def delete(transaction: Transaction) -> None:
            function = names.get_function(transaction, call, name)
            transaction.functions.put(replace(function, code_signing_config_arn=None))

        await self._services.store.write(delete)
        return {}


def _find(transaction: Transaction, call: Call, arn: str) -> CodeSigningConfig | None:
    prefix, _, identity = arn.rpartition(":")
    if f"{prefix}:" != config_arn(call.namespace, ""):
        return None
    return transaction.code_signing.get(call.namespace, identity)


def _get(transaction: Transaction, call: Call, arn: str) -> CodeSigningConfig:
    config = _find(transaction, call, arn)
    if config is None:
        raise not_found(f"The Lambda code signing configuration {arn} can not be found.")
    return config


def _users(transaction: Transaction, call: Call, arn: str) -> list[str]:
    functions = transaction.functions.of_namespace(call.namespace)
    return [function.name for function in functions if function.code_signing_config_arn == arn]


def _describe(call: Call, config: CodeSigningConfig) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "CodeSigningConfigId": config.id,
        "CodeSigningConfigArn": config_arn(call.namespace, config.id),
        "AllowedPublishers": {"SigningProfileVersionArns": list(config.publishers)},
        "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": config.untrusted_artifact},
        "LastModified": timestamp(config.last_modified),
    }
    if config.description:
        shape["Description"] = config.description
    return shape
