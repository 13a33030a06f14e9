"""Cases: DescribeEndpoint and the registration code."""

from lab import case, expect_error


@case
def the_endpoint_is_a_host_name_without_a_scheme(core):
    address = core.iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
    assert "/" not in address and address.split(":")[0], address
    again = core.iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
    assert again == address, f"{address}, then {again}"


@case
def the_credential_provider_has_an_endpoint(core):
    assert core.iot.describe_endpoint(endpointType="iot:CredentialProvider")["endpointAddress"]


@case
def an_unknown_endpoint_type_is_refused(core):
    expect_error("InvalidRequestException", core.iot.describe_endpoint, endpointType="iot:Nonsense")


@case
def the_registration_code_stays_until_it_is_deleted(core):
    first = core.iot.get_registration_code()["registrationCode"]
    assert len(first) == 64, first
    assert core.iot.get_registration_code()["registrationCode"] == first
    core.iot.delete_registration_code()
    assert core.iot.get_registration_code()["registrationCode"] != first
