"""AWS Directory Service Data, which moto does not know: the users and groups of a directory, and access to them.

What is written is seen a while later. A user gets his principal in the KDC with the first password: until then he is
disabled, as in AWS.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from typing import Any

from local.core.calls import Parameters, fake
from local.core.cloud import Cloud
from local.core.faults import AwsError
from local.services.directory.directories import Directories, microsoft_ad
from local.services.directory.entries import DirectoryData, Entry

ENABLING = 120  # virtual seconds
PAGE = 50
ATTRIBUTES = ("GivenName", "Surname", "EmailAddress")


# --- access -----------------------------------------------------------------------------------------------------------


@fake("ds", "DescribeDirectoryDataAccess")
def describe_directory_data_access(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """Disabled in a new directory."""
    directory = microsoft_ad(cloud, parameters["DirectoryId"], "DirectoryDoesNotExistException")
    return {"DataAccessStatus": cloud.part(Directories).data(directory.directory_id).access}


@fake("ds", "EnableDirectoryDataAccess")
def enable_directory_data_access(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """Enabling, then Enabled."""
    directory = microsoft_ad(cloud, parameters["DirectoryId"], "DirectoryDoesNotExistException")
    data = cloud.part(Directories).data(directory.directory_id)
    if directory.stage != "Active":
        raise AwsError("DirectoryUnavailableException", f"Directory {directory.directory_id} is {directory.stage}.")
    if data.access in {"Enabled", "Enabling"}:
        raise AwsError("DirectoryInDesiredStateException", f"Data access is {data.access} already.")
    if data.access == "Disabling":
        raise AwsError("ClientException", "Data access is being disabled.")
    failing, data.access = data.access == "Failed", "Enabling"

    def enabled() -> None:
        data.access = "Failed" if failing else "Enabled"
        cloud.happened(f"data access of {directory.directory_id} is {data.access}")

    cloud.clock.call_later(ENABLING, enabled)
    return {}


def data_of(cloud: Cloud, parameters: Parameters) -> DirectoryData:
    """The users and groups that a call of `ds-data` is about.

    Raises:
        AwsError: they cannot be read or written now, or not here.
    """
    name = parameters["DirectoryId"]
    found = [each for each in cloud.part(Directories).of_account(cloud.account) if each.directory_id == name]
    if not found:
        raise AwsError("AccessDeniedException", f"No access to {name}.", 403, Reason="IAM_AUTH")
    if found[0].directory_type != "MicrosoftAD":
        raise AwsError("ValidationException", "Not a Managed Microsoft AD.", Reason="INVALID_DIRECTORY_TYPE")
    data = cloud.part(Directories).data(name)
    if data.access != "Enabled":
        raise AwsError("AccessDeniedException", "Data access is not enabled.", 403, Reason="DATA_DISABLED")
    if found[0].stage != "Active":
        message = f"Directory {name} is {found[0].stage}."
        raise AwsError("DirectoryUnavailableException", message, Reason="INVALID_DIRECTORY_STATE")
    return data


def visible(data: DirectoryData, name: str, kind: str) -> Entry:
    """An entry as it is seen.

    Raises:
        AwsError: it is not, or not of that kind.
    """
    found = data.seen.get(name.lower())
    if found is None or found.kind != kind:
        raise AwsError("ResourceNotFoundException", f"The {kind.lower()} {name} could not be found.", 404)
    return found


def once(data: DirectoryData, parameters: Parameters, write: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """Write unless a call with the same client token has done so; then the same answer."""
    token = str(parameters.get("ClientToken", ""))
    if token in data.tokens:
        before, answer = data.tokens[token]
        if before != parameters:
            raise AwsError("ConflictException", "The client token was used with other parameters.", 409)
        return answer
    answer = write()
    data.tokens[token] = (parameters, answer)
    return answer


# --- users ------------------------------------------------------------------------------------------------------------


@fake("ds-data", "DescribeUser")
def describe_user(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """A user as he is seen."""
    found = visible(data_of(cloud, parameters), parameters["SAMAccountName"], "USER")
    return {
        "DirectoryId": parameters["DirectoryId"],
        "SAMAccountName": found.name,
        "SID": found.sid,
        "Enabled": found.enabled,
        **found.attributes,
    }


@fake("ds-data", "CreateUser")
def create_user(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """A user, disabled and without a password."""
    data, name = data_of(cloud, parameters), parameters["SAMAccountName"]

    def write() -> Mapping[str, Any]:
        attributes = {key: parameters[key] for key in ATTRIBUTES if key in parameters}
        made = data.add("USER", name, attributes=attributes, enabled=False)
        data.written(cloud, name)
        cloud.happened(f"the directory has the user {name}")
        return {"DirectoryId": parameters["DirectoryId"], "SAMAccountName": name, "SID": made.sid}

    return once(data, parameters, write)


@fake("ds-data", "UpdateUser")
def update_user(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """ADD is for attributes without a value."""
    data, name = data_of(cloud, parameters), parameters["SAMAccountName"]
    visible(data, name, "USER")
    true = data.true[name.lower()]
    given = {key: parameters[key] for key in ATTRIBUTES if key in parameters}
    if parameters.get("UpdateType") == "ADD" and (taken := [key for key in given if true.attributes.get(key)]):
        raise AwsError("ValidationException", f"{taken[0]} has a value.", Reason="ATTRIBUTE_EXISTS")
    true.attributes.update(given)
    data.written(cloud, name)
    return {}


@fake("ds-data", "DisableUser")
def disable_user(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """He gets no more tickets."""
    data, name = data_of(cloud, parameters), parameters["SAMAccountName"]
    visible(data, name, "USER")
    data.true[name.lower()].enabled = False
    data.written(cloud, name)
    cloud.part(Directories).realm(parameters["DirectoryId"]).disable(name.lower())
    return {}


@fake("ds-data", "DeleteUser")
def delete_user(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """He and his memberships are gone."""
    data, name = data_of(cloud, parameters), parameters["SAMAccountName"].lower()
    visible(data, name, "USER")
    del data.true[name]
    data.written(cloud, name)
    for group in [each for each in data.true.values() if name in each.members]:
        group.members.remove(name)
        data.written(cloud, group.name)
    kdc = cloud.part(Directories).realm(parameters["DirectoryId"])
    if kdc.has_principal(name):
        kdc.delete_principal(name)
    return {}


@fake("ds", "ResetUserPassword")
def reset_user_password(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """Set a password; that enables the user, and he becomes a principal of the KDC."""
    directory = microsoft_ad(cloud, parameters["DirectoryId"])
    data, name, password = (
        cloud.part(Directories).data(directory.directory_id),
        parameters["UserName"].lower(),
        parameters["NewPassword"],
    )
    if directory.stage != "Active":
        raise AwsError("DirectoryUnavailableException", f"Directory {directory.directory_id} is {directory.stage}.")
    if name not in data.seen or data.seen[name].kind != "USER" or name not in data.true:
        raise AwsError("UserDoesNotExistException", f"The user {name} does not exist.")
    classes = (string.ascii_lowercase, string.ascii_uppercase, string.digits, string.punctuation)
    named = len(name) > 2 and name in password.lower()
    if len(password) < 7 or sum(bool(set(password) & set(each)) for each in classes) < 3 or named:
        raise AwsError("InvalidPasswordException", f"The password {password} does not meet the directory's policy.")
    kdc = cloud.part(Directories).realm(directory.directory_id)
    if kdc.has_principal(name):
        kdc.set_password(name, password)
        kdc.enable(name)
    else:
        kdc.add_principal(name, password)
    data.true[name].enabled = True
    data.written(cloud, name)
    return {}


# --- groups -----------------------------------------------------------------------------------------------------------


@fake("ds-data", "DescribeGroup")
def describe_group(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """A group as it is seen."""
    found = visible(data_of(cloud, parameters), parameters["SAMAccountName"], "GROUP")
    return {
        "DirectoryId": parameters["DirectoryId"],
        "SAMAccountName": found.name,
        "SID": found.sid,
        "GroupType": found.group_type,
        "GroupScope": "Global",
    }


@fake("ds-data", "CreateGroup")
def create_group(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """A group without members."""
    data, name = data_of(cloud, parameters), parameters["SAMAccountName"]

    def write() -> Mapping[str, Any]:
        made = data.add("GROUP", name, group_type=parameters.get("GroupType", "Security"))
        data.written(cloud, name)
        cloud.happened(f"the directory has the group {name}")
        return {"DirectoryId": parameters["DirectoryId"], "SAMAccountName": name, "SID": made.sid}

    return once(data, parameters, write)


@fake("ds-data", "AddGroupMember")
def add_group_member(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """Both must be seen; who is a member already is a conflict."""
    data, member = data_of(cloud, parameters), parameters["MemberName"].lower()
    group = visible(data, parameters["GroupName"], "GROUP").name.lower()
    if member not in data.seen or member not in data.true:
        raise AwsError("ResourceNotFoundException", f"The member {member} could not be found.", 404)

    def write() -> Mapping[str, Any]:
        if member in data.true[group].members:
            raise AwsError("ConflictException", f"{member} is a member already.", 409)
        data.true[group].members.append(member)
        data.written(cloud, group)
        return {}

    return once(data, parameters, write)


@fake("ds-data", "RemoveGroupMember")
def remove_group_member(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """Somebody leaves a group."""
    data, member = data_of(cloud, parameters), parameters["MemberName"].lower()
    group = visible(data, parameters["GroupName"], "GROUP").name.lower()
    if member not in data.true[group].members:
        raise AwsError("ResourceNotFoundException", f"{member} is no member.", 404)
    data.true[group].members.remove(member)
    data.written(cloud, group)
    return {}


@fake("ds-data", "ListGroupMembers")
def list_group_members(cloud: Cloud, parameters: Parameters) -> Mapping[str, Any]:
    """The direct members, some at a time."""
    data = data_of(cloud, parameters)
    group = visible(data, parameters["SAMAccountName"], "GROUP")
    start = int(parameters.get("NextToken", 0))
    end = start + min(parameters.get("MaxResults", PAGE), PAGE)
    listed = [data.seen[name] for name in group.members if name in data.seen]
    members = [{"SAMAccountName": each.name, "SID": each.sid, "MemberType": each.kind} for each in listed[start:end]]
    more = {"NextToken": str(end)} if end < len(listed) else {}
    return {"DirectoryId": parameters["DirectoryId"], "Members": members, **more}
