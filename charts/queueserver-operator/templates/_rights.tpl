{{/*
What the operator may do in a namespace with QueueServers. It holds every right that it grants to a manager
(workerenvironments, pods, queueservers), so it needs neither "escalate" nor "bind".
*/}}
{{- define "queueserver-operator.rights" -}}
- apiGroups: [queueserver.blueskyproject.io]
  resources: [queueservers]
  verbs: [get, list, watch, patch]
# To create them is the manager's business.
- apiGroups: [queueserver.blueskyproject.io]
  resources: [workerenvironments]
  verbs: [get, list, watch, create, delete]
- apiGroups: [queueserver.blueskyproject.io]
  resources: [queueservers/status, workerenvironments/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [pods, persistentvolumeclaims]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, create, patch, delete]
- apiGroups: [""]
  resources: [configmaps, services, serviceaccounts]
  verbs: [get, list, create, patch, delete]
# By name only: who may list Secrets can read all of them.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch, delete]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, list, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, create, patch, delete]
- apiGroups: [""]
  resources: [events]
  verbs: [list, create]
{{- end -}}

{{/* What it needs outside of namespaces: only when it works in all of them. */}}
{{- define "queueserver-operator.clusterRights" -}}
# A node that is gone or out of service proves that the worker on it has ended.
- apiGroups: [""]
  resources: [nodes]
  verbs: [get]
{{- end -}}

{{/* Locks of instruments: taken by creating them, released by deleting them, never changed. */}}
{{- define "queueserver-operator.lockRights" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, list, create, delete]
{{- end -}}
