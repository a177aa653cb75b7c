echo "nodekey:$(openssl rand -hex 32)" >keys
echo https://headscale.example.com/hook >/etc/detour/webhook
chmod 600 /etc/detour/webhook
each what-each-may-use-1
each what-the-month-may-cost-1
