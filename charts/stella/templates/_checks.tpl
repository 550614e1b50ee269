{{- /* What a schema cannot say well. */ -}}
{{- define "stella.checks" -}}
{{- $feeds := compact (list .Values.feeds.existingClaim .Values.feeds.hostPath .Values.feeds.image.reference) -}}
{{- if gt (len $feeds) 1 }}
{{- fail "feeds: only one of existingClaim, hostPath and image.reference can be set" }}
{{- end }}
{{- if and .Values.operator.persistence.existingClaim (not .Values.operator.persistence.enabled) }}
{{- fail "operator.persistence: existingClaim is set, but enabled is false" }}
{{- end }}
{{- if and (eq .Values.operator.store "postgresql") (not .Values.operator.database.urlSecret.name) }}
{{- fail "operator.store is postgresql: name the Secret with the URL in operator.database.urlSecret.name" }}
{{- end }}
{{- if gt (include "stella.operatorReplicas" . | int) 1 }}
{{- if ne .Values.operator.store "postgresql" }}
{{- fail "operator.replicas: sqlite has one writer; set operator.store to postgresql" }}
{{- end }}
{{- if or (not .Values.operator.persistence.enabled) (ne .Values.operator.persistence.accessMode "ReadWriteMany") }}
{{- fail "operator.replicas: more than one share keys and exports on a volume; set operator.persistence.enabled, and ReadWriteMany as its accessMode" }}
{{- end }}
{{- end }}
{{- with .Values.admission.backstop }}
{{- if and .enabled (not .digests) (not .registries) }}
{{- fail "admission.backstop: with digests off, name registries" }}
{{- end }}
{{- end }}
{{- if and .Values.operator.registrySecrets.enabled (not .Values.operator.registrySecrets.namespaces) }}
{{- fail "operator.registrySecrets.namespaces: name at least one namespace" }}
{{- end }}
{{- if .Values.airgap.enabled }}
{{- if not .Values.networkPolicy.enabled }}
{{- fail "airgap.enabled needs networkPolicy.enabled" }}
{{- end }}
{{- if not .Values.networkPolicy.apiServer.cidrs }}
{{- fail "airgap.enabled needs networkPolicy.apiServer.cidrs" }}
{{- end }}
{{- if hasPrefix "registry.stella-ops.org" .Values.image.registry }}
{{- fail "airgap.enabled needs a registry of your own in image.registry" }}
{{- end }}
{{- end }}
{{- end }}
