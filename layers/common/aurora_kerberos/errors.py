"""The errors that the workflow can end with.

Step Functions shows the name of the class as the error, and operators search for it. The text has two parts: what
happened, and after `Remedy:` what to do about it. Neither ever holds a secret.
"""

from __future__ import annotations

REMEDY = "\nRemedy: "


class KerberosError(Exception):
    """Base of all errors of the workflow.

    Attributes:
        message: what happened.
        remedy: what a person can do about it; a class may have a default.
    """

    remedy = "Read the execution's log; start the execution again when the cause is mended."

    def __init__(self, message: str, remedy: str = "") -> None:
        self.message = message
        self.remedy = remedy or self.remedy
        super().__init__(f"{self.message}{REMEDY}{self.remedy}")


# --- bad requests -----------------------------------------------------------------------------------------------------


class BadRequest(KerberosError):
    """What was asked for cannot be done; nothing has been changed."""


class InvalidRequest(BadRequest):
    """The input, a setting, a tag or a principals parameter does not have the documented form."""


class CreationNotAllowed(BadRequest):
    """The stack's parameter Creation does not allow to make the cluster, or not with an address in the internet."""


class ClusterNotFound(BadRequest):
    """No DB cluster of that name in this account and Region."""


class ClusterUnfit(BadRequest):
    """The cluster can never do Kerberos as it is: not Aurora PostgreSQL, or not in a VPC."""


class ClusterUnusable(BadRequest):
    """The cluster is stopped, being deleted, broken, or has no instances."""


class PrincipalUsesIam(BadRequest):
    """A principal, or a role it is to be granted, has rds_iam: a database user authenticates in exactly one way."""


class RoleReserved(BadRequest):
    """A role that is to be granted is one of PostgreSQL's, of Aurora's or the master user, or leads to one."""


class DatabaseRoleNotFound(BadRequest):
    """A database role that a principal is to be granted does not exist."""


class SecretUnusable(BadRequest):
    """A secret of Secrets Manager is missing, or does not hold what is needed."""

    remedy = "Store a JSON object with the fields that the message names in the secret."


# --- configuration ----------------------------------------------------------------------------------------------------


class ConfigurationError(KerberosError):
    """Something around the cluster is wrong, and a person has to change it."""


class StackIncomplete(ConfigurationError):
    """A function lacks what the stack's template gives it: an environment variable, or the stack's settings."""


class AccessDenied(ConfigurationError):
    """AWS denied a call to the function's role."""

    remedy = (
        "Look for a service control policy, permission boundary or key policy that denies the named action. If it "
        "changes the network of another VPC than VpcId, name that VPC in NetworkVpcIds (in another account, in VpcIds "
        "of directory-account.yaml)."
    )


class DirectoryNotFound(ConfigurationError):
    """No directory with that id in this account and Region."""


class DirectoryAmbiguous(ConfigurationError):
    """More than one directory has the DNS name."""


class DirectoryNotTrusted(ConfigurationError):
    """The directory belongs to an account that the stack does not name: anybody can share one under any DNS name."""


class DirectoryUnusable(ConfigurationError):
    """The directory is of the wrong type, failed, or is being deleted."""


class DirectoryAccountRoleMissing(ConfigurationError):
    """Something can only be done in the directory's own account, and no role there is configured."""


class TrustDiffers(ConfigurationError):
    """A trust or conditional forwarder exists, but has another direction, type or address than the list of trusts."""


class TrustNotVerified(ConfigurationError):
    """The trust exists on this side, but AWS cannot verify it with the other side."""


class TrustFailed(ConfigurationError):
    """AWS could not make or change the trust."""


class DirectoryDataUnavailable(ConfigurationError):
    """Users and groups of the directory cannot be read or written: data access is off, or the directory is impaired."""


class DirectoryGroupUnfit(ConfigurationError):
    """A group of the directory is missing, is not a security group, or something that is not a group has its name."""


class DirectoryGroupNotAllowed(ConfigurationError):
    """A group is to get members that was not made here, and the stack's parameter AllowedGroups does not have it."""


class DirectoryUserUnfit(ConfigurationError):
    """A user of the directory is missing, or something that is not a user has the name."""


class ShareRefused(ConfigurationError):
    """The directory of another account is not shared with the cluster's account, and a person has to act."""


class ServiceRoleInvalid(ConfigurationError):
    """Aurora cannot assume the IAM role that lets it use the directory, or RDS refuses the role."""


class StsEndpointInactive(ConfigurationError):
    """The regional AWS STS endpoint does not answer: Aurora could not assume the service role."""


class AnotherDirectory(ConfigurationError):
    """The cluster is a member of another directory's domain."""


class MembershipLost(ConfigurationError):
    """The cluster was enabled, but is not a working member of a domain any more."""


class RestartDue(ConfigurationError):
    """The cluster has joined in its maintenance window, and nobody has restarted an instance since."""


class NetworkBlocked(ConfigurationError):
    """A route, a network ACL or a security group blocks traffic between cluster, directory and functions."""


class NetworkOverlaps(ConfigurationError):
    """Two VPCs that have to be peered have overlapping addresses."""


class PeeringFailed(ConfigurationError):
    """A VPC peering was rejected, or AWS could not make it."""


class GroupMappingUnavailable(ConfigurationError):
    """A group of the directory cannot be mapped to a database role (pg_ad_mapping)."""


class DatabaseUnreachable(ConfigurationError):
    """The function cannot open a connection to the database."""


class DatabaseNotTrusted(ConfigurationError):
    """What answers at the cluster's address does not prove by its certificate that it is the cluster."""


class DatabaseRefused(ConfigurationError):
    """The database refuses the master user, or one of the statements of step 7."""


class LoginRefused(ConfigurationError):
    """The check principal cannot log in with a Kerberos ticket."""


# --- people said no ---------------------------------------------------------------------------------------------------


class ApprovalRefused(KerberosError):
    """Somebody has refused the change that the workflow needed approval for. Nothing of it was done."""

    remedy = "Nothing, if that was meant. Else start the execution again: it asks again."


class ApprovalExpired(KerberosError):
    """Nobody has approved or refused the change in time. Nothing of it was done."""

    remedy = "Start the execution again: it asks again."


class ApprovalSuperseded(KerberosError):
    """A newer request asks for something else than what approval was needed for. Nothing of it was done."""

    remedy = "Nothing: the newer request goes on."


class ApprovalBypassed(KerberosError):
    """The execution was woken by its task token, without an answer that AWS names somebody for. Nothing was done."""


# --- of a rollout over many accounts ----------------------------------------------------------------------------------


class OutcomeUnknown(KerberosError):
    """A rollout's execution for a cluster has ended without recording an outcome."""


# --- AWS said no ------------------------------------------------------------------------------------------------------


class AwsRefused(KerberosError):
    """AWS refused a call for good; the message quotes it."""


class EnableKerberosFailed(KerberosError):
    """The cluster or an instance could not join the domain, and a second attempt failed as well."""


class InstanceUnusable(KerberosError):
    """An instance of the cluster is in a status that it does not leave by itself."""


# --- AWS said later ---------------------------------------------------------------------------------------------------


class AwsUnavailable(KerberosError):
    """AWS throttled the call, answered with a 5xx, or could not be reached. The state machine retries with jitter."""

    remedy = (
        "Nothing: it is tried again by itself. If it persists, see the AWS Health Dashboard and the service quotas."
    )


# --- time -------------------------------------------------------------------------------------------------------------


class StepTimedOut(KerberosError):
    """What the step waited for did not happen before the deadline."""
