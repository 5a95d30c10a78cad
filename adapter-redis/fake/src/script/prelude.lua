-- What a script sees. Given functions of the server and two libraries; gives the environment of scripts, the table in
-- which KEYS and ARGV stand, and the function that runs a script.
local server, struct, bit, text_of, describe = ...
local error, pcall, select, setmetatable, tostring, type, xpcall =
  error, pcall, select, setmetatable, tostring, type, xpcall

local function refuse()
  error('Attempt to modify a readonly table', 2)
end

local function protected(library)
  return setmetatable({}, { __index = library, __newindex = refuse })
end

-- As in Redis, an error that is a reply is caught as its text.
local function caught(ok, problem, ...)
  if ok then
    return ok, problem, ...
  end
  return false, text_of(problem)
end

local function one_text(...)
  return select('#', ...) == 1 and type(...) == 'string'
end

local function error_reply(...)
  if not one_text(...) then
    return { err = 'ERR wrong number or type of arguments' }
  end
  local text = string.gsub(string.gsub(..., '^%-', ''), '[\r\n]+$', '')
  if not string.find(text, ' ', 1, true) then
    text = 'ERR ' .. text
  end
  return { err = text }
end

local function status_reply(...)
  if not one_text(...) then
    return { err = 'ERR wrong number or type of arguments' }
  end
  return { ok = ... }
end

local function nothing() end

local redis = {
  call = server.call,
  pcall = server.pcall,
  sha1hex = server.sha1hex,
  error_reply = error_reply,
  status_reply = status_reply,
  log = nothing,
  setresp = nothing,
  set_repl = nothing,
  replicate_commands = function() return true end,
  LOG_DEBUG = 0,
  LOG_VERBOSE = 1,
  LOG_NOTICE = 2,
  LOG_WARNING = 3,
  REPL_NONE = 0,
  REPL_AOF = 1,
  REPL_SLAVE = 2,
  REPL_REPLICA = 2,
  REPL_ALL = 3,
  REDIS_VERSION = '7.0.15',
  REDIS_VERSION_NUM = 0x0007000f,
}

-- of the process, not of a run
math.random, math.randomseed = nil, nil

local visible = {
  _VERSION = _VERSION,
  assert = assert,
  bit = protected(bit),
  collectgarbage = collectgarbage,
  coroutine = protected(coroutine),
  error = error,
  getmetatable = getmetatable,
  ipairs = ipairs,
  math = protected(math),
  next = next,
  pairs = pairs,
  pcall = function(...) return caught(pcall(...)) end,
  rawequal = rawequal,
  rawget = rawget,
  redis = protected(redis),
  select = select,
  setmetatable = setmetatable,
  string = protected(string),
  struct = protected(struct),
  table = protected(table),
  tonumber = tonumber,
  tostring = tostring,
  type = type,
  unpack = unpack,
}
setmetatable(visible, {
  __index = function(_, name)
    error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
  end,
})
local environment = protected(visible)
visible._G = environment

local function run(script)
  return xpcall(script, describe)
end

return environment, visible, run
