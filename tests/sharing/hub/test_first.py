def test_it(hub, alice, bob):
    r=alice.ask("GET","/taxii2/"); assert r.status_code==200, r.text
    print(r.json())
    print(alice.add(alice.indicator(1), alice.indicator(1,version=1), bob.indicator(2), alice.indicator(3, price=2)))
    r=bob.ask("GET","/api/collections/91a7b528-80eb-42ed-a74d-c6fbd5a26116/objects/?match[version]=all")
    print(r.status_code,r.text, r.headers)
    for p in ["/forum/log/head","/forum/log/proof?index=0","/forum/audit","/forum/members","/forum/log/leaves","/api/collections/","/forum/"]:
        r=bob.ask("GET",p); print(p,r.status_code,r.text)
    assert 0
