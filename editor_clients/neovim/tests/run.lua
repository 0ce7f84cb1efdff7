-- nvim -l tests/run.lua: runs what the files *_spec.lua return, by name; exit status 1 where one fails.

local here = vim.fs.dirname(vim.fs.abspath(assert(debug.getinfo(1, "S")).source:sub(2)))
vim.opt.runtimepath:prepend(vim.fs.dirname(here))

local failed, passed = 0, 0
for _, path in ipairs(vim.fn.glob(here .. "/*_spec.lua", true, true)) do
  local names = {}
  local tests = dofile(path)
  vim.list_extend(names, vim.tbl_keys(tests))
  table.sort(names)
  for _, name in ipairs(names) do
    local done, problem = pcall(tests[name])
    passed, failed = passed + (done and 1 or 0), failed + (done and 0 or 1)
    if not done then
      io.stdout:write(("%s: %s\n  %s\n"):format(vim.fs.basename(path), name, problem))
    end
  end
end
io.stdout:write(("%d passed, %d failed\n"):format(passed, failed))
os.exit(failed == 0 and passed > 0 and 0 or 1)
