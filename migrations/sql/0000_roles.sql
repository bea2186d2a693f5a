-- Groups that login roles join. They belong to the cluster, not to the database,
-- so an earlier database of the same cluster may have made them.
do $$
declare v_name text;
begin
    foreach v_name in array array['porchlight_gateway', 'porchlight_bot', 'porchlight_arbiter', 'porchlight_cache'] loop
        begin
            execute format('create role %I nologin', v_name);
        exception when duplicate_object or unique_violation then
            null;
        end;
        execute format('grant usage on schema porchlight to %I', v_name);
    end loop;
end $$;
