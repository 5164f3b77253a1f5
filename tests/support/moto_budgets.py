"""Operations of AWS Budgets that the AWS provider calls and moto 5.2.5 lacks, written as moto writes its own.

Shapes follow the AWS Budgets API reference: DescribeSubscribersForNotification, ListTagsForResource,
TagResource, UpdateBudget.
"""

import json

from moto.budgets.responses import BudgetsResponse

_moto_create_budget = BudgetsResponse.create_budget
_tags: dict[str, list[dict[str, str]]] = {}
"""Tags by the ARN of a budget."""


def _describe_subscribers_for_notification(self: BudgetsResponse) -> str:
    budget = self.backend.budgets[self._get_param("AccountId")][self._get_param("BudgetName")]
    asked = self._get_param("Notification")
    subscribers = [notification.subscribers for notification in budget.notifications if notification.details == asked]
    return json.dumps({"Subscribers": subscribers[0] if subscribers else [], "NextToken": None})


def _list_tags_for_resource(self: BudgetsResponse) -> str:
    return json.dumps({"ResourceTags": _tags.get(self._get_param("ResourceARN"), [])})


def _tag_resource(self: BudgetsResponse) -> str:
    _tags[self._get_param("ResourceARN")] = self._get_param("ResourceTags")
    return json.dumps({})


def _create_budget(self: BudgetsResponse) -> str:
    account_id, budget = self._get_param("AccountId"), self._get_param("Budget")
    _tags[f"arn:aws:budgets::{account_id}:budget/{budget['BudgetName']}"] = self._get_param("ResourceTags", [])
    return _moto_create_budget(self)


def _update_budget(self: BudgetsResponse) -> str:
    new = self._get_param("NewBudget")
    kept = self.backend.budgets[self._get_param("AccountId")][new["BudgetName"]]
    kept.budget = {**kept.budget, **new}
    return json.dumps({})


def install() -> None:
    """Extend moto's Budgets in this process; a second call changes nothing."""
    for name, method in {
        "create_budget": _create_budget,
        "describe_subscribers_for_notification": _describe_subscribers_for_notification,
        "list_tags_for_resource": _list_tags_for_resource,
        "tag_resource": _tag_resource,
        "update_budget": _update_budget,
    }.items():
        setattr(BudgetsResponse, name, method)
