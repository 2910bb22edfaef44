"""The compiled model says what botocore's model says."""

from __future__ import annotations

from botocore.model import ServiceModel

from lambdad.wire.service import Kind, LambdaService, Location, compile_service


def test_every_operation_of_the_model_is_compiled(service: LambdaService, oracle: ServiceModel) -> None:
    assert set(service.operations) == set(oracle.operation_names)
    for name, operation in service.operations.items():
        described = oracle.operation_model(name)
        assert operation.method == described.http["method"]
        assert operation.status == described.http.get("responseCode", 200)
        assert (operation.input is None) == (described.input_shape is None)
        assert (operation.output is None) == (described.output_shape is None)


def test_members_keep_place_and_name_of_the_model(service: LambdaService) -> None:
    invoke = service.operations["Invoke"].input
    assert invoke is not None
    places = {member.name: (member.location, member.wire_name) for member in invoke.members.values()}
    assert places == {
        "FunctionName": (Location.URI, "FunctionName"),
        "InvocationType": (Location.HEADER, "x-amz-invocation-type"),
        "LogType": (Location.HEADER, "x-amz-log-type"),
        "ClientContext": (Location.HEADER, "x-amz-client-context"),
        "DurableExecutionName": (Location.HEADER, "x-amz-durable-execution-name"),
        "Qualifier": (Location.QUERY, "Qualifier"),
        "TenantId": (Location.HEADER, "x-amz-tenant-id"),
        "Payload": (Location.PAYLOAD, "Payload"),
    }


def test_static_query_is_split_from_the_path(service: LambdaService) -> None:
    operation = service.operations["GetLayerVersionByArn"]
    assert (operation.path, operation.static_query) == ("/2018-10-31/layers", (("find", "LayerVersion"),))


def test_errors_know_how_their_text_is_spelled(service: LambdaService) -> None:
    assert service.errors["ResourceNotFoundException"].message_member == "Message"
    assert service.errors["InvalidParameterValueException"].message_member == "message"
    assert service.errors["ResourceNotReadyException"].sender_fault is False
    assert service.errors["TooManyRequestsException"].status == 429


def test_a_structure_may_contain_itself() -> None:
    service = compile_service(
        {
            "operations": {},
            "shapes": {
                "Tree": {"type": "structure", "members": {"Children": {"shape": "Trees"}}},
                "Trees": {"type": "list", "member": {"shape": "Tree"}},
                "Grow": {"type": "structure", "members": {}},
            },
        }
    )
    assert dict(service.shapes) == {}

    grown = compile_service(
        {
            "operations": {
                "Grow": {"http": {"method": "POST", "requestUri": "/grow"}, "input": {"shape": "Tree"}},
            },
            "shapes": {
                "Tree": {"type": "structure", "members": {"Children": {"shape": "Trees"}}},
                "Trees": {"type": "list", "member": {"shape": "Tree"}},
            },
        }
    )
    tree = grown.shapes["Tree"]
    assert tree.kind is Kind.STRUCTURE
    assert tree.members["Children"].shape.element is tree
    assert repr(tree) == "Shape(Tree: structure)"
