# The relay of the page is at 203.0.113.7, which is this machine.
serve on-this-machine-1
like on-this-machine-2
end
run on-a-server-1
like on-a-server-2
let sha256-raw:58c3... "$(sudo detour map pin | grep -o 'sha256-raw:[0-9a-f]*')"
run on-a-server-3

machines
on anna serve two-machines-1 detourpair1
let detourpair1... "$(grep -o 'detourpair1.*' "$log")"
on ben serve two-machines-2 "peer anna"
let 100.94.200.142 "$(sed -n 's/.*peer anna (\([0-9.]*\),.*/\1/p' "$log")"
on ben run two-machines-3
