-- Health of ScanJob, Policy and ExportProfile for Argo CD.
local health = { status = "Progressing", message = "Not looked at yet" }
if obj.spec ~= nil and obj.spec.suspend then
  return { status = "Suspended", message = "Suspended" }
end
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health
end
local found = {}
for _, condition in ipairs(obj.status.conditions or {}) do
  found[condition.type] = condition
end
local stalled, ready = found["Stalled"], found["Ready"]
if stalled ~= nil and stalled.status == "True" then
  return { status = "Degraded", message = stalled.message }
end
if ready == nil then
  return health
end
if ready.status == "True" then
  return { status = "Healthy", message = ready.message }
end
local reconciling = found["Reconciling"]
if ready.status == "False" and not (reconciling ~= nil and reconciling.status == "True") then
  return { status = "Degraded", message = ready.message }
end
health.message = ready.message
return health
