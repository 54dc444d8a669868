{#- A partition that is dropped or attached is so at once for every session, whatever its snapshot: one
    from before finds the old rows gone, and doesn't see the new ones. So what another takes the
    place of goes when no such snapshot is left, which are those of REPEATABLE READ and of pg_dump. -#}
{% macro transaction_id() %}
    {{ return(run_query("select cast(pg_current_xact_id() as xid)").rows[0][0] | string) }}
{% endmacro %}


{#- Query for the sessions with a snapshot from before a transaction's commit. -#}
{% macro older_snapshots(xid) -%}
    (
        select
        from pg_stat_activity
        where
            -- a user without rights on a session sees its snapshot, and not its type
            coalesce(backend_type, 'client backend') in ('client backend', 'walsender')
            and pid != pg_backend_pid()
            and coalesce(datname, current_database()) = current_database()
            and age(backend_xmin) >= age('{{ xid }}'::xid)
    )
{%- endmacro %}


{% macro wait_for_older_snapshots(xid) %}
    {%- if run_query("select exists " ~ older_snapshots(xid)).rows[0][0] -%}
        {%- do print('waiting for the transactions of others that began before') -%}
    {%- endif -%}
    {%- call statement('wait') -%}
        do $$
        begin
            while exists {{ older_snapshots(xid) }} loop
                perform pg_sleep(0.1);
                perform pg_stat_clear_snapshot();
            end loop;
        end
        $$
    {%- endcall -%}
{% endmacro %}
