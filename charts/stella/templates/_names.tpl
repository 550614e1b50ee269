{{- /* Names are fixed: what is installed has its say over the whole cluster, so that there is one of it. */ -}}
{{- define "stella.operator" -}}stella-operator{{- end }}
{{- define "stella.agent" -}}stella-zastava{{- end }}
{{- define "stella.webhook" -}}stella-webhook{{- end }}
{{- define "stella.webhookFail" -}}stella-webhook-fail{{- end }}
{{- define "stella.tlsSecret" -}}stella-webhook-tls{{- end }}
{{- define "stella.server" -}}http://stella-operator.{{ .Release.Namespace }}.svc:8080{{- end }}

{{- /* Arguments: root, component. */ -}}
{{- define "stella.selector" -}}
app.kubernetes.io/name: stella
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "stella.labels" -}}
{{ include "stella.selector" . }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: stella
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- /* Labels of a pod. Arguments: root, component, values. */ -}}
{{- define "stella.podLabels" -}}
{{- with .values.podLabels }}
{{- toYaml . }}
{{ end -}}
{{ include "stella.selector" . }}
app.kubernetes.io/part-of: stella
{{- end }}

{{- /* Reference of a component's image. Arguments: root, image. */ -}}
{{- define "stella.image" -}}
{{- $tag := .root.Values.image.tag | default .root.Chart.AppVersion -}}
{{- $end := ternary (printf "@%s" .image.digest) (printf ":%s" $tag) (ne .image.digest "") -}}
{{- list .root.Values.image.registry .image.repository | compact | join "/" }}{{ $end }}
{{- end }}

{{- define "stella.exemptNamespaces" -}}
{{- concat (list "kube-system" .Release.Namespace) .Values.admission.exemptNamespaces | uniq | sortAlpha | toYaml -}}
{{- end }}

{{- /* How many operators: what is asked for, else as many as store and volume allow, two at most. */ -}}
{{- define "stella.operatorReplicas" -}}
{{- $operator := .Values.operator -}}
{{- $shared := and $operator.persistence.enabled (eq $operator.persistence.accessMode "ReadWriteMany") -}}
{{- if gt (int $operator.replicas) 0 -}}
{{ int $operator.replicas }}
{{- else if and (eq $operator.store "postgresql") $shared -}}
2
{{- else -}}
1
{{- end -}}
{{- end -}}
