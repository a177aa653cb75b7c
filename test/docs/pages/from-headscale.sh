certificate derp derp.example.com
echo '{"Allow":false}' >"$base/yes" # Headscale does not know the key of a check
asked
serve step-by-step-1
file step-by-step-2 derp.yaml
like step-by-step-3
